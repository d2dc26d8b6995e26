/** Policy files that somebody wrote to hurt whoever reads them. All are as large as a file may be. */
const most = 2 * 1024 * 1024

const head = `postern: policy/v1
tenant: acme
owners: [o@example.com]
recognise: { issuer: "https://idp.example", audience: api }
claims: { groups: list<string> }
`

/** `unit` again and again between two texts, up to the size that is read. */
const fill = (unit: (i: number) => string, before = '', after = ''): string => {
  const parts = [before]
  for (let i = 0, left = most - before.length - after.length; ; i++) {
    const part = unit(i)
    left -= Buffer.byteLength(part)
    if (left < 0) break
    parts.push(part)
  }
  return parts.join('') + after
}
const again = (unit: string, before = '', after = ''): string => fill(() => unit, before, after)
/** As much of it as has few enough words and signs to be looked at in full. */
const half = (text: string, share: number, after = ''): string => {
  const end = Math.floor(text.length * share)
  const whole = Math.max(text.lastIndexOf('\n', end), text.lastIndexOf(',', end))
  return text.slice(0, whole < 0 ? end : whole + 1) + after
}

const names = (n: number, of: (i: number) => string): string => Array.from({ length: n }, (_, i) => of(i)).join(', ')

type Hostile = Readonly<Record<string, () => string | Buffer>>

/** What the YAML parser is asked to digest. */
export const hostileYaml: Hostile = {
  'a list of a million scalars': () => again('a,', 'x: [', 'a]'),
  'a list of empty lists': () => again('[],', 'x: [', 'a]'),
  'as many empty lists as are looked at': () => half(again('[],', 'x: [', 'a]'), 0.33, 'a]'),
  'as many empty maps as are looked at': () => half(again('{},', 'x: [', 'a]'), 0.33, 'a]'),
  'as many empty keys as are looked at': () => half(again(':\n'), 0.33),
  'as many questions as are looked at': () => half(again('?\n'), 0.33),
  'closing brackets': () => again(']'),
  'closed brackets': () => half(again('[]'), 0.33),
  'opening brackets': () => again('['),
  'opening braces': () => again('{'),
  'lists five hundred deep': () => again(`${'['.repeat(500)}${']'.repeat(500)},`, 'x: [', 'a]'),
  'dashes on one line': () => again('- '),
  'a staircase of maps': () => fill(i => `${' '.repeat(Math.min(i, 599))}a:\n`),
  'a staircase of lists': () => fill(i => `${' '.repeat(Math.min(i, 599))}-\n`),
  'questions on one line': () => again('? '),
  'colons on one line': () => again('a: '),
  'complex keys': () => again('[a]: b\n'),
  'the same key': () => again('a:\n'),
  'the key __proto__': () => again('__proto__: 1\n', head),
  'other keys of every object': () => fill(i => `${['constructor', 'toString', 'hasOwnProperty', 'valueOf'][i % 4]}: 1\n`, head),
  'merge keys': () => again('<<: a\n'),
  anchors: () => fill(i => `- &a${i} x\n`),
  'aliases of one anchor': () => again('- *a\n', '- &a x\n'),
  'aliases of nothing': () => again('- *a\n'),
  'a billion laughs': () =>
    `a0: &a0 [${names(9, () => 'lol')}]\n${Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${names(9, () => `*a${i}`)}]`).join('\n')}\n`,
  'unknown tags': () => again('- !x a\n'),
  directives: () => again('%A\n'),
  'tag directives': () => fill(i => `%TAG !a${i}! x\n`, '', '---\na\n'),
  documents: () => again('---\n'),
  'ends of documents': () => again('...\n'),
  comments: () => again('#\n', `${head}rules: []\n`),
  'blank lines': () => again('\n', `${head}rules: []\n`),
  'one long word': () => again('a', 'x: ', '\n'),
  'one long text in quotes': () => again('\\n', 'x: "', '"\n'),
  'a text in quotes without an end': () => again('a\n ', 'x: "'),
  'a text on many lines': () => again('a\n ', 'x: '),
  'a literal block of empty lines': () => again('\n', 'x: |\n'),
  'folded text': () => again('  a\n', 'x: >\n'),
  'one long number': () => again('1', 'x: ', '\n'),
  tabs: () => again('\t'),
  'carriage returns': () => again('\r'),
  'zero bytes': () => again('\0'),
  'byte order marks': () => again('\uFEFF', 'x'),
  'one byte too many': () => `${again('#')}#`,
  'invalid UTF-8': () => Buffer.concat([Buffer.from(head), Buffer.alloc(most - head.length, 0xff)]),
  'overlong UTF-8': () => Buffer.concat([Buffer.from(head), Buffer.alloc(1000, Buffer.from([0xc0, 0xaf]))]),
  'lone surrogates': () =>
    Buffer.concat([Buffer.from(`${head}x: "`), Buffer.alloc(999, Buffer.from([0xed, 0xa0, 0x80])), Buffer.from('"\n')]),
  nothing: () => '',
}

const rule = (i: number, rest: string): string => `  - { allow: r${i}, why: w, ${rest} }\n`

/** What reads well and means too much. */
export const hostileMeaning: Hostile = {
  'five thousand rules': () =>
    `${head}rules:\n${Array.from({ length: 5000 }, (_, i) => rule(i, `who: anyone, to: "GET /v1/a${i}/{x}/**"`)).join('')}`,
  'more rules than are read': () => fill(i => rule(i, 'who: anyone, to: GET /a'), `${head}rules:\n`),
  'a hundred thousand lines of paths': () =>
    fill(i => rule(i, `who: anyone, to: [${names(32, k => `"GET /v${i}/a${k}/{x}/b"`)}]`), `${head}rules:\n`),
  'paths that branch at each segment': () =>
    `${head}rules:\n${Array.from({ length: 4096 }, (_, i) => rule(i, `who: anyone, to: "GET /${Array.from({ length: 12 }, (_, k) => ((i >> k) & 1 ? `{x${k}}` : 'a')).join('/')}"`)).join('')}`,
  'a thousand callers, each a list of the others': () =>
    `${head}who:\n${Array.from({ length: 1000 }, (_, i) => `  w${i}: [${i < 800 ? names(200, k => `w${200 * (Math.floor(i / 200) + 1) + k}`) : '{ groups: a }'}]\n`).join('')}rules: []\n`,
  'callers in one long circle': () =>
    `${head}who:\n${Array.from({ length: 1000 }, (_, i) => `  w${i}: [w${(i + 1) % 1000}]\n`).join('')}rules: []\n`,
  'rules that each name a thousand callers': () =>
    `${head}who:\n${Array.from({ length: 1000 }, (_, i) => `  w${i}: { groups: [g${i}] }\n`).join('')}rules:\n${Array.from({ length: 150 }, (_, i) => rule(i, `to: GET /a${i % 3}, who: [${names(1000, k => `w${k}`)}]`)).join('')}`,
  'callers that nobody defined': () =>
    fill(
      i => rule(i, `to: GET /a, who: [${names(900, k => `${'x'.repeat(50)}-${i}-${k}`)}]`),
      `${head}who:\n${Array.from({ length: 1000 }, (_, i) => `  ${'x'.repeat(55)}-${i}: { groups: [g${i}] }\n`).join('')}rules:\n`,
    ),
  'keys that nobody knows': () =>
    half(
      fill(i => `recognisee${i}: 1\n`, head),
      0.6,
    ),
  'names of every object': () =>
    `${head}who:\n  __proto__: { groups: a }\n  constructor: { groups: a }\nrules:\n${['__proto__', 'constructor', 'toString'].map(name => `  - { allow: ${name}, why: w, who: ${name}, to: GET /${name} }\n`).join('')}`,
  'rules of the longest lists': () => {
    const addresses = (i: number): string => names(256, k => `10.${i % 256}.${k}.0/24`)
    const rules = Array.from({ length: 140 }, (_, i) =>
      rule(i, `to: GET /a, who: anyone, when: { ip-in: [${addresses(i)}], header: { x-a: [${names(900, k => `v${k}`)}] } }`),
    )
    return `${head}rules:\n${rules.join('')}`
  },
  'addresses that are none': () =>
    fill(i => rule(i, `to: GET /a, who: anyone, when: { ip-in: [${names(256, () => `"${':'.repeat(40)}"`)}] }`), `${head}rules:\n`),
  'reasons without an end': () =>
    fill(i => `  - { allow: r${i}, why: "${'w'.repeat(4000)}", who: anyone, to: GET /a }\n`, `${head}rules:\n`),
}
