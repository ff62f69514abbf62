// npm itself against a registry: a user, packages published, looked for and installed.
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {json, seconds, tap, words} from './common.mjs';

const registry = `https://127.0.0.1:${tap}/`;
const answer = await json('PUT', '/-/user/org.couchdb.user:anna', {
  name: 'anna',
  password: 'Sonnenblume-42!',
  email: 'anna@example.de',
  type: 'user',
  roles: [],
  date: '2026-03-17T09:30:00.000Z',
});
fs.writeFileSync(
  '.npmrc',
  `registry=${registry}\n//127.0.0.1:${tap}/:_authToken=${JSON.parse(answer.body).token}\nstrict-ssl=false\naudit=true\nfund=false\n`,
);
const npm = (...parts) => {
  try {
    return execFileSync('npm', parts, {stdio: 'pipe', timeout: 20000}).toString();
  } catch {
    return '';
  }
};
const end = Date.now() + Number(seconds) * 1000;
let turns = 0;
for (const name of ['angebot', 'rechnung', '@anna/werkzeug', 'formulaire', 'kalender', '@anna/horloge']) {
  if (Date.now() > end) break;
  fs.mkdirSync('p/' + name, {recursive: true});
  for (const version of ['1.0.0', '1.0.1', '2.0.0-beta.1']) {
    fs.writeFileSync(
      `p/${name}/package.json`,
      JSON.stringify({
        name,
        version,
        description: words.titles[turns % 10],
        keywords: words.searches.slice(0, 4),
        author: words.names[turns % 10] + ' <a@example.de>',
        license: 'MIT',
        main: 'index.js',
      }),
    );
    fs.writeFileSync(`p/${name}/README.md`, words.texts.join('\n\n'));
    fs.writeFileSync(`p/${name}/index.js`, 'module.exports = items => items.filter(item => item.price < 10 && !item.sold);\n');
    npm('publish', './p/' + name, '--access', 'public', ...(version.includes('-') ? ['--tag', 'beta'] : []));
    ++turns;
  }
  npm('view', name, '--json');
  npm('search', name.split('/').pop(), '--json');
  npm('dist-tag', 'add', name + '@1.0.1', 'stabil');
  npm('install', name, '--no-save');
}
console.log(JSON.stringify({turns}));
