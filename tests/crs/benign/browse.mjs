// Uses an application as people do, in headless Chromium: follows links, presses what can be pressed, fills forms with
// ordinary words, uploads files. See README.md.
//   node browse.mjs BASE_URL HOST PORT SECONDS SEED [START_PATH...]
import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';

const puppeteer = createRequire(path.join(process.env.NODE_PATH, 'x'))('puppeteer-core');
const [base, host, port, seconds, seed, ...starts] = process.argv.slice(2);

let state = Number(seed);
function random() {
  // mulberry32: the same walk for the same seed, as far as the application allows
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const pick = list => list[Math.floor(random() * list.length)];

const words = JSON.parse(fs.readFileSync(new URL('words.json', import.meta.url)));

function textFor(input) {
  const hint = `${input.type} ${input.name} ${input.placeholder} ${input.label}`.toLowerCase();
  if (input.type === 'number' || input.type === 'range') return String(Math.floor(random() * 100));
  if (input.type === 'date') return '2026-0' + (1 + Math.floor(random() * 9)) + '-17';
  if (input.type === 'color') return '#3366aa';
  if (/mail/.test(hint)) return pick(words.mails);
  if (input.type === 'password' || /passw/.test(hint)) return pick(words.passwords);
  if (input.type === 'url' || /url|link/.test(hint)) return pick(words.links);
  if (/phone|tel/.test(hint)) return pick(words.phones);
  if (/search|filter|find/.test(hint)) return pick(words.searches);
  if (/name|user|login/.test(hint)) return pick(words.names);
  if (/title|subject|topic/.test(hint)) return pick(words.titles);
  return input.tag === 'textarea' || input.editable ? pick(random() < 0.02 ? words.odd_texts : words.texts) : pick(random() < 0.5 ? words.titles : words.searches);
}

const upload = path.join(os.tmpdir(), 'Bericht März.txt');
fs.writeFileSync(upload, words.texts.join('\n\n'));

const browser = await puppeteer.launch({
  executablePath: '/usr/bin/chromium',
  headless: 'new',
  args: [
    '--no-sandbox',
    '--ignore-certificate-errors',
    `--host-resolver-rules=MAP ${host} 127.0.0.1:${port}, MAP * ~NOTFOUND`,
    '--disable-background-networking',
    '--lang=' + pick(['de-DE,de', 'fr-FR,fr', 'en-GB,en']),
  ],
});
const page = await browser.newPage();
await page.setUserAgent((await browser.userAgent()).replace('HeadlessChrome', 'Chrome'));
await page.setViewport({width: 1360, height: 900});
page.on('dialog', dialog => (dialog.type() === 'prompt' ? dialog.accept(pick(words.titles)) : dialog.accept()));
browser.on('targetcreated', async target => {
  const other = await target.page().catch(() => null);
  if (other && other !== page) setTimeout(() => other.close().catch(() => {}), 1500);
});

const selector =
  'a[href], button, [role=button], [role=menuitem], [role=tab], [role=treeitem], [onclick], summary, ' +
  'input, textarea, select, [contenteditable=true], li, td, label';

async function step() {
  if (random() < 0.04 || !page.url().startsWith(base)) {
    await page.goto(base + pick(starts.length ? starts : ['/']), {waitUntil: 'domcontentloaded', timeout: 8000});
    return;
  }
  const frames = page.frames().filter(frame => frame.url().startsWith(base));
  const frame = pick(frames.length ? frames : [page.mainFrame()]);
  const handles = await frame.$$(selector);
  if (!handles.length) return page.keyboard.press(pick(['Enter', 'Escape', 'Tab']));
  const handle = pick(handles);
  const input = await handle.evaluate(element => {
    const box = element.getBoundingClientRect();
    const shown = box.width > 1 && box.height > 1 && box.top < innerHeight && box.bottom > 0;
    return {
      tag: element.tagName.toLowerCase(),
      type: (element.type || '').toLowerCase(),
      name: element.name || element.id || '',
      placeholder: element.placeholder || '',
      label: element.getAttribute('aria-label') || '',
      shown,
      href: element.href || '',
      editable: element.isContentEditable,
      values: element.tagName === 'SELECT' ? [...element.options].map(option => option.value) : [],
    };
  });
  if (input.tag === 'input' && input.type === 'file') return handle.uploadFile(upload);
  if (!input.shown) return;
  if (input.tag === 'a' && input.href && !input.href.startsWith(base) && !input.href.startsWith('javascript')) return;
  if (input.tag === 'select') return handle.select(pick(input.values) ?? '');
  const typed =
    input.tag === 'textarea' ||
    input.editable ||
    (input.tag === 'input' &&
      !['checkbox', 'radio', 'submit', 'button', 'image', 'reset', 'color', 'range'].includes(input.type));
  await handle.click({delay: 5});
  if (typed) {
    if (random() < 0.5)
      await page.keyboard
        .down('Control')
        .then(() => page.keyboard.press('a'))
        .then(() => page.keyboard.up('Control'));
    await page.keyboard.type(textFor(input).slice(0, 400), {delay: 0});
    if (input.tag === 'input' && random() < 0.6) await page.keyboard.press('Enter');
  }
}

const end = Date.now() + Number(seconds) * 1000;
let steps = 0,
  failures = 0;
await page.goto(base + (starts[0] ?? '/'), {waitUntil: 'domcontentloaded', timeout: 20000}).catch(() => {});
while (Date.now() < end) {
  try {
    await Promise.race([step(), new Promise((_, reject) => setTimeout(() => reject(new Error('slow')), 10000))]);
  } catch {
    ++failures;
  } // what was there a moment ago may be gone: people meet that, too
  ++steps;
  await new Promise(resolve => setTimeout(resolve, 40));
}
console.log(JSON.stringify({steps, failures}));
await browser.close();
