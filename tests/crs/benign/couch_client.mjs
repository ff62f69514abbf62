// Replication and Mango queries, as clients of CouchDB send them.
import {json, number, pick, repeat, send, text, uuid, words} from './common.mjs';

await json('PUT', '/notizen', {});
await repeat(900, async turn => {
  const id = uuid();
  switch (turn % 6) {
    case 0:
      return json('PUT', '/notizen/' + encodeURIComponent('notiz:' + id), {
        title: pick(words.titles),
        text: text(),
        at: '2026-03-17T09:30:00.000Z',
      });
    case 1:
      return json('POST', '/notizen/_bulk_docs', {
        new_edits: false,
        docs: Array.from({length: 1 + number(5)}, (_, n) => ({
          _id: id + n,
          _rev: '1-' + id.replaceAll('-', ''),
          author: pick(words.names),
          text: text(),
          ['schlüssel ' + n]: [n, null, true],
        })),
      });
    case 2:
      return json('POST', '/notizen/_find', {
        selector: {
          $and: [
            {at: {$gt: '2026-01-01'}},
            {title: {$regex: '^(Re|Fwd): '}},
            {author: {$in: [pick(words.names), pick(words.names)]}},
          ],
        },
        fields: ['_id', 'title'],
        limit: 25,
        sort: [{at: 'desc'}],
      });
    case 3:
      return send('GET', `/notizen/_changes?feed=normal&style=all_docs&since=${turn}&limit=100&include_docs=true`, {
        Accept: 'application/json',
      });
    case 4:
      return json('POST', '/notizen/_revs_diff', {
        [id]: ['1-' + id.replaceAll('-', '')],
        [uuid()]: ['2-' + id.replaceAll('-', '')],
      });
    default:
      return send(
        'GET',
        `/notizen/_all_docs?startkey=${encodeURIComponent('"notiz:"')}&endkey=${encodeURIComponent('"notiz:\ufff0"')}&conflicts=true`,
      );
  }
});
