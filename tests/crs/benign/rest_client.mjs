// A shop's REST API as an app on a telephone and a back office use it.
import {json, jwt, number, pick, repeat, send, text, uuid, words} from './common.mjs';

const agents = [
  'okhttp/4.12.0',
  'Shop/7.3.1 (iPhone; iOS 18.2; Scale/3.00)',
  'Dart/3.5 (dart:io)',
  'axios/1.7.9',
  'python-requests/2.32.3',
  'Apache-HttpClient/5.3.1 (Java/21.0.5)',
  'GuzzleHttp/7',
  'Go-http-client/1.1',
  'PostmanRuntime/7.43.0',
  'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36',
];
const person = () => ({
  name: pick(words.names),
  email: pick(words.mails),
  phone: pick(words.phones),
  note: text(),
  address: {
    street: pick(['Am Markt 1', "Rue de l'Église 12 bis", 'Straße des 17. Juni 135', "21 O'Connell St."]),
    zip: String(10000 + number(80000)),
    city: pick(['Saarbrücken', 'Forbach', 'Köln', 'Besançon']),
  },
  born: `19${60 + number(39)}-0${1 + number(9)}-1${number(9)}`,
  tags: [pick(words.searches), pick(words.searches)],
  active: number(2) === 1,
  balance: number(100000) / 100,
  parent: null,
});

await repeat(2400, async turn => {
  const headers = {
    'User-Agent': pick(agents),
    'X-Request-ID': uuid(),
    'Accept-Language': pick(['de-DE,de;q=0.9', 'fr-FR', 'en']),
    Authorization:
      'Bearer ' +
      jwt({
        sub: uuid(),
        iss: 'https://login.example.test/realms/shop',
        aud: ['shop', 'account'],
        exp: 1790000000 + turn,
        scope: 'openid profile email',
        name: pick(words.names),
      }),
  };
  const q = encodeURIComponent(pick(words.searches));
  switch (turn % 9) {
    case 0:
      return send('GET', `/customers?q=${q}&_page=${number(20)}&_limit=20&_sort=name,-born&_order=asc`, headers);
    case 1:
      return json('POST', '/customers', person(), headers);
    case 2:
      return json('PATCH', `/customers/${number(20)}`, {note: text()}, headers);
    case 3:
      return send(
        'GET',
        `/orders?customer.id=${number(50)}&total_gte=10&total_lte=${number(500)}&status=open&status=paid&created_gte=2026-0${1 + number(9)}-01T00:00:00.000Z`,
        headers,
      );
    case 4:
      return json(
        'PUT',
        `/orders/${number(20)}`,
        {
          id: number(20),
          lines: Array.from({length: 1 + number(12)}, () => ({
            sku: 'A-' + number(9999),
            name: pick(words.titles),
            count: number(9),
            price: number(9999) / 100,
          })),
          comment: text(),
        },
        headers,
      );
    case 5:
      return send('DELETE', `/orders/${1000 + turn}`, headers);
    case 6:
      return send(
        'POST',
        '/oauth/token',
        {
          ...headers,
          Authorization: 'Basic ' + Buffer.from('shop-app:' + pick(words.passwords)).toString('base64'),
          'Content-Type': 'application/x-www-form-urlencoded',
        },
        new URLSearchParams({
          grant_type: pick(['password', 'refresh_token', 'authorization_code']),
          username: pick(words.mails),
          password: pick(words.passwords),
          scope: 'openid offline_access',
          code: uuid(),
          redirect_uri: 'https://app.example.test/callback?from=login',
          code_verifier: uuid() + uuid(),
          refresh_token: jwt({jti: uuid()}),
        }).toString(),
      );
    case 7:
      return send(
        'GET',
        `/customers/${number(20)}/orders?fields=id,total,lines(sku,count)&expand=lines.product&filter=${encodeURIComponent("status eq 'open' and total gt " + number(99))}`,
        headers,
      );
    default:
      return send('HEAD', `/customers/${number(20)}?cacheBust=${1700000000000 + turn}`, {
        ...headers,
        'If-None-Match': `W/"1a-${uuid()}"`,
        'If-Modified-Since': 'Tue, 17 Mar 2026 09:30:00 GMT',
      });
  }
});
