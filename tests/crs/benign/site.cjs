// A town's and a shop's site with forms in German and French, search, uploads, chat, GraphQL and an API's documentation:
// what browsers and clients send to these. Keeps nothing.   node site.cjs PORT FOLDER
const [port, folder] = process.argv.slice(2);
const express = require('express');
const multer = require('multer');
const {buildSchema} = require('graphql');
const {createHandler} = require('graphql-http/lib/use/express');
const swagger = require('swagger-ui-express');
const {Server: TusServer} = require('@tus/server');
const {FileStore} = require('@tus/file-store');

const app = express();
const server = require('http').createServer(app);
const io = new (require('socket.io').Server)(server, {transports: ['polling']});
io.on('connection', socket => socket.on('text', text => io.emit('text', text)));

const menu = `<nav><a href="/">Start</a> <a href="/antrag?schritt=1&amp;vorgang=Wohnsitz+anmelden">Wohnsitz anmelden</a>
  <a href="/commande?produit=Caf%C3%A9+moulu&amp;quantit%C3%A9=2">Commander</a> <a href="/suche?q=%C3%96ffnungszeiten+B%C3%BCrgeramt">Suche</a>
  <a href="/chat">Chat</a> <a href="/api-docs/">API</a> <a href="/kontakt">Kontakt</a>
  <a href="/termine?von=2026-03-01T08:00:00%2B01:00&amp;bis=2026-03-31&amp;ort%5B%5D=Mitte&amp;ort%5B%5D=S%C3%BCd">Termine</a></nav>`;
const page = (
  title,
  body,
) => `<!doctype html><html lang="de"><meta charset="utf-8"><title>${title}</title>${menu}<h1>${title}</h1>${body}
<script>
document.cookie = 'einwilligung=' + encodeURIComponent(JSON.stringify({statistik: true, marketing: false, stand: '2026-03-17'})) + '; path=/';
document.cookie = '_ga=GA1.1.' + Math.floor(Math.random() * 1e9) + '.1710660000; path=/';
navigator.sendBeacon('/zaehler?seite=' + encodeURIComponent(location.pathname + location.search) + '&titel=' + encodeURIComponent(document.title),
  new Blob([JSON.stringify({url: location.href, referrer: document.referrer, breite: innerWidth, sprache: navigator.language, zeit: performance.now()})],
           {type: 'application/json'}));
</script>`;
const choice = (name, values) => `<select name="${name}">${values.map(value => `<option>${value}</option>`).join('')}</select>`;
const pages = {
  '/': [
    'Willkommen',
    `<p><img src="/bild.svg?groesse=200x100&amp;v=3"></p><form action="/suche"><input type="search" name="q" placeholder="Suche"><button>Los</button></form>`,
  ],
  '/kontakt': [
    'Kontakt',
    `<form method="post" action="/kontakt"><input name="name" placeholder="Name"><input name="email" type="email" placeholder="E-Mail">
    <input name="betreff" placeholder="Betreff title"><textarea name="nachricht"></textarea><label><input type="checkbox" name="kopie" value="ja"> Kopie an mich</label>
    <input type="hidden" name="csrf" value="8f14e45fceea167a5a36dedd4bea2543"><button>Absenden</button></form>`,
  ],
  '/antrag': [
    'Wohnsitz anmelden',
    `<form method="post" action="/antrag" enctype="multipart/form-data">${choice('anrede', ['Frau', 'Herr', 'keine Angabe'])}
    <input name="person[vorname]" placeholder="Vorname name"><input name="person[nachname]" placeholder="Nachname name"><input name="person[geburt]" type="date">
    <input name="anschrift[straße]" placeholder="Straße und Hausnummer"><input name="anschrift[plz]" type="number"><input name="iban" value="DE02 1203 0000 0000 2020 51">
    <textarea name="bemerkung"></textarea><input type="file" name="nachweis" multiple><button>Weiter</button></form>`,
  ],
  '/commande': [
    'Commande',
    `<form method="post" action="/commande"><input name="prénom" placeholder="Prénom name"><input name="téléphone" placeholder="Téléphone">
    <input name="adresse" placeholder="N° et rue"><input type="number" name="quantité">${choice('livraison', ['à domicile', 'point relais', "retrait à l'agence"])}
    <textarea name="message"></textarea><button>Valider l'achat</button></form>`,
  ],
  '/chat': [
    'Chat',
    `<div id="texte"></div><input id="eingabe" placeholder="Nachricht"><button id="senden">Senden</button><script src="/socket.io/socket.io.js"></script>
    <script>const verbindung = io({transports: ['polling']});
    document.getElementById('senden').onclick = () => verbindung.emit('text', {von: 'Anna', text: document.getElementById('eingabe').value, zeit: Date.now()});
    verbindung.on('text', wert => { const zeile = document.createElement('p'); zeile.textContent = wert.text; document.getElementById('texte').append(zeile); });</script>`,
  ],
};
for (const [path, [title, body]] of Object.entries(pages))
  app.get(path, (request, response) => response.send(page(title, body)));
app.get(['/suche', '/termine'], (request, response) =>
  response.send(
    page(
      'Treffer',
      `<form action="/suche"><input type="search" name="q" value="">
  ${choice('sortierung', ['Datum', 'Relevanz', 'Preis (aufsteigend)', 'Preis (absteigend)'])}<input type="number" name="seite" value="1"><button>Suchen</button></form>
  <a href="/suche?q=a%26b&amp;seite=2">weiter</a> <a href="/suche?filter%5Bpreis%5D%5Bbis%5D=100&amp;filter%5Bfarbe%5D=gr%C3%BCn">grün bis 100</a>`,
    ),
  ),
);
app.get('/bild.svg', (request, response) =>
  response.type('image/svg+xml').send('<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"/>'),
);
app.post('/kontakt', express.urlencoded({extended: true}), (request, response) => response.redirect(303, '/?gesendet=ja'));
app.post('/commande', express.urlencoded({extended: true}), (request, response) =>
  response.redirect(303, '/?commande=re%C3%A7ue'),
);
app.post('/antrag', multer({dest: folder}).any(), (request, response) =>
  response.redirect(303, '/antrag?schritt=2&vorgang=' + Date.now()),
);
app.post('/zaehler', (request, response) => response.status(204).end());

const schema =
  buildSchema(`type Item {id: ID! name: String price: Float tags: [String]} input Filter {text: String, priceBelow: Float, tags: [String!]}
  type Query {items(filter: Filter, first: Int, after: String): [Item] item(id: ID!): Item} type Mutation {rename(id: ID!, name: String!): Item}`);
const item = {id: '1', name: 'Käse', price: 4.5, tags: ['neu']};
app.use(
  '/graphql',
  createHandler({schema, rootValue: {items: () => [item], item: () => item, rename: ({name}) => ({...item, name})}}),
);

const api = {
  openapi: '3.0.3',
  info: {title: 'Shop', version: '1'},
  paths: {
    '/api/items': {
      get: {
        parameters: [
          {name: 'q', in: 'query', schema: {type: 'string'}},
          {name: 'sort', in: 'query', schema: {type: 'string'}},
        ],
        responses: {200: {description: 'ok'}},
      },
      post: {
        requestBody: {content: {'application/json': {example: {name: 'Käse', price: 4.5, note: 'l\'emmental, c\'est "bon"'}}}},
        responses: {201: {description: 'ok'}},
      },
    },
    '/api/items/{id}': {
      patch: {
        parameters: [{name: 'id', in: 'path', required: true, schema: {type: 'string'}}],
        responses: {200: {description: 'ok'}},
        requestBody: {content: {'application/merge-patch+json': {example: {price: 5}}}},
      },
    },
  },
};
app.use('/api-docs', swagger.serve, swagger.setup(api));
const tus = new TusServer({path: '/files', datastore: new FileStore({directory: folder})});
app.all(['/files', '/files/*'], (request, response) => tus.handle(request, response));
app.all('*', (request, response) => {
  request.resume();
  request.on('end', () => response.json({ok: true, items: [item]}));
});
server.listen(Number(port), '127.0.0.1');
