// What the clients share: the origin by name at the tap's port, words, and the same random choices for the same seed.
import fs from 'node:fs';
import https from 'node:https';

export const [origin, tap, seconds, seed] = process.argv.slice(2);
export const words = JSON.parse(fs.readFileSync(new URL('words.json', import.meta.url)));

let state = Number(seed);
export function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
export const pick = list => list[Math.floor(random() * list.length)];
// What people write; now and then something that looks to a WAF as if it were more.
export const text = () => pick(random() < 0.02 ? words.odd_texts : words.texts);
export const number = below => Math.floor(random() * below);
export const token = bytes => Buffer.from(Array.from({length: bytes}, () => number(256))).toString('base64url');
export const jwt = claims =>
  [Buffer.from('{"alg":"RS256","typ":"JWT","kid":"2026-03"}'), Buffer.from(JSON.stringify(claims))]
    .map(part => part.toString('base64url'))
    .join('.') +
  '.' +
  token(256);
export const uuid = () =>
  token(16)
    .replace(/[^a-z0-9]/gi, '0')
    .toLowerCase()
    .padEnd(32, '0')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5')
    .replace(/[g-z]/g, 'a');

const agent = new https.Agent({keepAlive: true, rejectUnauthorized: false});
/** One request by node's own client, to the tap, under the origin's name. Resolves to status and body. */
export function send(method, path, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        host: '127.0.0.1',
        port: tap,
        servername: new URL(origin).host,
        method,
        path,
        agent,
        headers: {
          Host: new URL(origin).host,
          ...headers,
          ...(body === undefined ? {} : {'Content-Length': Buffer.byteLength(body)}),
        },
      },
      response => {
        const parts = [];
        response.on('data', part => parts.push(part));
        response.on('end', () =>
          resolve({status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString()}),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
export const json = (method, path, value, headers = {}) =>
  send(method, path, {'Content-Type': 'application/json', Accept: 'application/json', ...headers}, JSON.stringify(value));

/** Calls `turn` until the time is over or it has run so many times. */
export async function repeat(turns, turn) {
  const end = Date.now() + Number(seconds) * 1000;
  let done = 0;
  for (; done < turns && Date.now() < end; ++done) await turn(done).catch(error => console.error(String(error)));
  console.log(JSON.stringify({turns: done}));
}
