// Clients of APIs at one site: GraphQL, SOAP, tus uploads, multipart of several libraries, webhooks, telemetry, signatures.
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {json, jwt, number, origin, pick, repeat, send, tap, text, token, uuid, words} from './common.mjs';

const host = new URL(origin).host;
const curl = (...parts) =>
  execFileSync('curl', [
    '-sk',
    '--max-time',
    '10',
    '-o',
    '/dev/null',
    '--connect-to',
    `${host}:443:127.0.0.1:${tap}`,
    '--http1.1',
    ...parts,
  ]);
fs.writeFileSync(
  'Übersicht 2026.csv',
  'Datum;Betrag;Zweck\n' +
    words.titles.map((title, n) => `2026-03-${10 + n};${n * 17},50 €;"${title.replaceAll('"', '""')}"`).join('\n'),
);
fs.writeFileSync(
  'photo.jpg',
  Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.from(Array.from({length: 30000}, () => number(256)))]),
);

const kinds = [
  () =>
    json(
      'POST',
      '/graphql',
      {
        operationName: 'Items',
        query:
          'query Items($filter: Filter, $first: Int = 20) {\n  items(filter: $filter, first: $first) { id name price tags ...Extra }\n}\nfragment Extra on Item { __typename }',
        variables: {filter: {text: pick(words.searches), priceBelow: number(100), tags: ['neu', 'grün']}, first: 20},
      },
      {Authorization: 'Bearer ' + jwt({sub: uuid()}), 'apollographql-client-name': 'web'},
    ),
  () =>
    json('POST', '/graphql', {
      query: 'mutation($id: ID!, $name: String!) { rename(id: $id, name: $name) { id name } }',
      variables: {id: String(number(99)), name: pick(words.titles)},
    }),
  () =>
    send(
      'GET',
      '/graphql?query=' +
        encodeURIComponent('{items(first:5){id,name}}') +
        '&variables=' +
        encodeURIComponent('{}') +
        '&extensions=' +
        encodeURIComponent(JSON.stringify({persistedQuery: {version: 1, sha256Hash: uuid().replaceAll('-', '').repeat(2)}})),
      {Accept: 'application/graphql-response+json'},
    ),
  () =>
    send(
      'POST',
      '/soap/Bestellung',
      {'Content-Type': 'text/xml; charset=utf-8', SOAPAction: '"urn:bestellung:anlegen"', 'User-Agent': 'Apache-CXF/4.0.3'},
      `<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><b:anlegen xmlns:b="urn:bestellung"><b:kunde>${pick(words.names).replaceAll('&', '&amp;')}</b:kunde><b:menge>${number(9)}</b:menge></b:anlegen></soap:Body></soap:Envelope>`,
    ),
  async () => {
    const data = text(),
      made = await send('POST', '/files', {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': String(Buffer.byteLength(data)),
        'Upload-Metadata':
          'filename ' +
          Buffer.from('Bericht März.txt').toString('base64') +
          ',filetype ' +
          Buffer.from('text/plain').toString('base64'),
      });
    const path = new URL(made.headers.location ?? '/files/x', origin).pathname;
    await send('HEAD', path, {'Tus-Resumable': '1.0.0'});
    return send(
      'PATCH',
      path,
      {'Tus-Resumable': '1.0.0', 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream'},
      data,
    );
  },
  () =>
    curl(
      '-F',
      'beschreibung=' + text(),
      '-F',
      'datei=@Übersicht 2026.csv;type=text/csv',
      '-F',
      'bild=@photo.jpg',
      `https://${host}/hochladen?ordner=${encodeURIComponent(pick(words.titles))}`,
    ),
  () =>
    curl(
      '-T',
      'photo.jpg',
      '-H',
      'Content-Type: image/jpeg',
      `https://${host}/bilder/${uuid()}.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20260317%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date=20260317T093000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=${uuid().replaceAll('-', '').repeat(2)}`,
    ),
  () =>
    curl(
      '--data-urlencode',
      'name=' + pick(words.names),
      '--data-urlencode',
      'text=' + text(),
      '-d',
      'ok=1',
      '-A',
      'curl/8.11.0',
      '-b',
      `sid=${token(24)}; lang=de`,
      '-e',
      `https://${host}/kontakt`,
      `https://${host}/kontakt`,
    ),
  () =>
    json(
      'POST',
      '/hooks/deploy',
      {
        event: 'push',
        ref: 'refs/heads/main',
        before: uuid().replaceAll('-', '') + '00000000',
        commits: [
          {
            id: uuid(),
            message: pick(words.titles) + '\n\n' + text(),
            author: {name: pick(words.names), email: pick(words.mails)},
            added: ['src/app/über.ts', 'docs/README.md'],
            removed: ['.github/workflows/test.yml'],
          },
        ],
        repository: {full_name: 'anna/shop', html_url: 'https://git.example.test/anna/shop'},
      },
      {
        'X-Hub-Signature-256': 'sha256=' + uuid().replaceAll('-', '').repeat(2),
        'X-GitHub-Event': 'push',
        'User-Agent': 'Hookshot/044aadd',
      },
    ),
  () =>
    json(
      'POST',
      '/v1/traces',
      {
        resourceSpans: [
          {
            resource: {attributes: [{key: 'service.name', value: {stringValue: 'shop'}}]},
            scopeSpans: [
              {
                spans: [
                  {
                    traceId: uuid().replaceAll('-', ''),
                    spanId: uuid().slice(0, 8),
                    name: 'GET /items/:id',
                    attributes: [
                      {key: 'db.statement', value: {stringValue: 'items by id'}},
                      {key: 'http.url', value: {stringValue: 'https://shop.example.test/items/17?lang=de'}},
                    ],
                  },
                ],
              },
            ],
          },
        ],
      },
      {'User-Agent': 'OTel-OTLP-Exporter-JavaScript/0.57.0'},
    ),
  () =>
    send(
      'POST',
      '/envelope?sentry_key=' + uuid().replaceAll('-', '') + '&sentry_version=7',
      {'Content-Type': 'text/plain;charset=UTF-8', Origin: origin},
      [
        {event_id: uuid().replaceAll('-', ''), sent_at: '2026-03-17T09:30:00.000Z'},
        {type: 'event'},
        {
          message: "TypeError: Cannot read properties of undefined (reading 'map')",
          level: 'error',
          request: {url: origin + '/suche?q=' + encodeURIComponent(pick(words.searches))},
          exception: {
            values: [
              {
                type: 'TypeError',
                stacktrace: {frames: [{filename: origin + '/assets/index-B3f9a.js', function: 'onClick', lineno: number(900)}]},
              },
            ],
          },
        },
      ]
        .map(line => JSON.stringify(line))
        .join('\n'),
    ),
  () =>
    send(
      'GET',
      `/callback?code=${token(60)}&state=${token(200)}&session_state=${uuid()}&iss=${encodeURIComponent('https://login.example.test/realms/shop')}`,
      {
        Cookie: `__Host-session=${token(400)}; csrftoken=${token(48)}; _pk_id.1.1fff=${uuid()}.1710660000.`,
        Accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
        'User-Agent': 'Mozilla/5.0 (Macintosh; Intel Mac OS X 14.7; rv:133.0) Gecko/20100101 Firefox/133.0',
      },
    ),
  () =>
    send(
      'POST',
      '/saml/acs',
      {
        'Content-Type': 'application/x-www-form-urlencoded',
        Origin: 'https://login.example.test',
        Referer: 'https://login.example.test/',
      },
      new URLSearchParams({
        SAMLResponse: Buffer.from(
          `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_${uuid()}"><saml:Assertion>${token(900)}</saml:Assertion></samlp:Response>`,
        ).toString('base64'),
        RelayState: '/mein-konto?tab=daten',
      }).toString(),
    ),
  () =>
    send(
      'GET',
      `/wms?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=straßen,gewässer&STYLES=&CRS=EPSG:25832&BBOX=${number(9999)}.5,49.2,${number(9999)}.75,49.3&WIDTH=256&HEIGHT=256&FORMAT=image/png`.replace(
        /[ßä]/g,
        encodeURIComponent,
      ),
      {Accept: 'image/avif,image/webp,image/*,*/*;q=0.8'},
    ),
  () =>
    send(
      'GET',
      '/odata/Products?$filter=' +
        encodeURIComponent(`contains(Name,'${pick(words.searches).replaceAll("'", "''")}') and Price lt ${number(99)}`) +
        '&$select=Name,Price&$expand=Category($levels=2)&$orderby=Price%20desc&$top=20&$count=true',
      {Accept: 'application/json;odata.metadata=minimal', 'OData-MaxVersion': '4.0'},
    ),
  () =>
    send(
      'PROPFIND',
      '/dav/Dokumente/',
      {
        Depth: '1',
        'Content-Type': 'application/xml',
        'User-Agent': 'Mozilla/5.0 (Windows) mirall/3.15.3 (build 20250107) (Nextcloud)',
      },
      '<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop><d:getetag/><d:getlastmodified/></d:prop></d:propfind>',
    ),
  () =>
    send('OPTIONS', '/api/items', {
      Origin: 'https://app.example.test',
      'Access-Control-Request-Method': 'PATCH',
      'Access-Control-Request-Headers': 'authorization,content-type,x-requested-with',
    }),
  () =>
    json(
      'PATCH',
      `/api/items/${number(99)}`,
      [
        {op: 'replace', path: '/name', value: pick(words.titles)},
        {op: 'add', path: '/tags/-', value: pick(words.searches)},
      ],
      {'Content-Type': 'application/json-patch+json'},
    ),
];
// How often each is sent: most of what a site gets are forms, hooks, reports and pages; queries in a language of their own,
// XML and uploads are some percent of it.
const often = [7, 8, 10, 11, 12, 13, 16];
const now_and_then = [2, 17];
const shares = kinds.map((_, kind) => (often.includes(kind) ? 16 : now_and_then.includes(kind) ? 3 : 1));
const deck = kinds.flatMap((_, kind) => Array(shares[kind]).fill(kind));
await repeat(2400, () => Promise.resolve(kinds[pick(deck)]()));
