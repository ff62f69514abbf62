"""What is recorded: packages, how each is started and who uses it."""


def browser(*starts):
    return ["node", "{here}/browse.mjs", "{origin}", "{host}", "{tap}", "{seconds}", "{seed}", *starts]


def script(name):
    return ["node", "{here}/" + name, "{origin}", "{tap}", "{seconds}", "{seed}"]


APPLICATIONS = {
    "tiddlywiki": {
        "packages": ["tiddlywiki@5.3.6"],
        "prepare": [["node", "{modules}/tiddlywiki/tiddlywiki.js", "{folder}/wiki", "--init", "server"]],
        "command": ["node", "{modules}/tiddlywiki/tiddlywiki.js", "{folder}/wiki", "--listen", "host=127.0.0.1", "port={port}"],
        "users": [browser("/")],
    },
    "node-red": {
        "packages": ["node-red@3.1.15"],
        "command": ["node", "{modules}/node-red/red.js", "-u", "{folder}", "-p", "{port}"],
        "users": [browser("/")],
    },
    "verdaccio": {
        "packages": ["verdaccio@4.13.2"],
        "command": ["node", "{modules}/verdaccio/bin/verdaccio", "-l", "127.0.0.1:{port}"],
        "environment": {"HOME": "{folder}", "XDG_CONFIG_HOME": "{folder}", "XDG_DATA_HOME": "{folder}"},
        "users": [script("npm_client.mjs"), browser("/", "/-/web/detail/angebot")],
    },
    "cloudcmd": {
        "packages": ["cloudcmd@18.7.3"],
        "command": ["node", "{modules}/cloudcmd/bin/cloudcmd.mjs", "--root", "{folder}", "--port", "{port}", "--no-open", "--no-terminal"],
        "environment": {"HOME": "{folder}"},
        "users": [browser("/")],
    },
    "redis-commander": {
        "packages": ["redis-commander@0.9.0"],
        "service": ["redis-server", "--bind", "127.0.0.1", "--port", "{service}", "--save", ""],
        "command": ["node", "{modules}/redis-commander/bin/redis-commander.js", "--port", "{port}", "--address", "127.0.0.1", "--redis-port", "{service}"],
        "users": [browser("/")],
    },
    "pouchdb": {
        "packages": ["pouchdb-server@4.2.0"],
        "command": ["node", "{modules}/pouchdb-server/bin/pouchdb-server", "--port", "{port}", "--in-memory", "--no-stdout-logs"],
        "users": [browser("/_utils/"), script("couch_client.mjs")],
    },
    "json-server": {
        "packages": ["json-server@0.17.4"],
        "prepare": [["cp", "{here}/shop.json", "{folder}/shop.json"]],  # it writes what it is sent into the file
        "command": ["node", "{modules}/json-server/lib/cli/bin.js", "--port", "{port}", "--host", "127.0.0.1", "{folder}/shop.json"],
        "users": [script("rest_client.mjs")],
    },
    "site": {
        "packages": ["express@4.21.2", "multer@1.4.5-lts.1", "socket.io@4.8.1", "graphql@16.9.0", "graphql-http@1.22.4", "swagger-ui-express@5.0.1",
                     "@tus/server@1.10.2", "@tus/file-store@1.5.1"],
        "command": ["node", "{here}/site.cjs", "{port}", "{folder}"],
        "users": [browser("/", "/antrag", "/commande", "/suche", "/chat", "/api-docs/"), script("api_client.mjs")],
    },
}
