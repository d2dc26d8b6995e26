import { Environment } from '@marcbachmann/cel-js'
import { describe, expect, it } from 'vitest'
import type { Check } from '../../../src/policy/check/ast.ts'
import type { CheckEnvironment } from '../../../src/policy/check/environment.ts'
import { expression, glob } from '../../../src/policy/check/pattern.ts'
import { readCheck } from '../../../src/policy/check/read.ts'
import { checkTest } from '../../../src/policy/engine/check.ts'
import { Look } from '../../../src/policy/engine/conditions.ts'
import { type Claim, parseClaim } from '../../../src/policy/language/claims.ts'
import { parseLine, type RouteLine } from '../../../src/policy/language/pattern.ts'
import { unsure, yes } from '../../../src/policy/language/tri.ts'
import { type Chance, chance } from '../../support/chance.ts'
import { type Held, isStray, type OracleRequest, oracle, oracleGlob, oracleRe } from './check-oracle.ts'
import {
  type ClaimName,
  declared,
  headerNames,
  isOptional,
  queryNames,
  randomCheck,
  randomClaims,
  regexOf,
  typeOf,
  words,
} from './check-random.ts'
import { facts } from './fixtures.ts'

const claims = new Map(Object.entries(declared).map(([name, type]) => [name, parseClaim(type) as Claim]))
const lines = ['GET POST /v1/{account}/x/{item}', 'GET POST /v2/{item}/y/{account}'].map(line => parseLine(line) as RouteLine)
const env: CheckEnvironment = {
  claims,
  path: { every: ['account', 'item'], some: ['account', 'item'] },
  nameProblem: () => null,
  nearest: () => null,
  afford: { compile: () => true, match: () => true },
}

const read = (text: string): Check => {
  const check = readCheck(text, env)
  if ('root' in check) return check
  throw new Error(`${text}: ${JSON.stringify(check)}`)
}

/** What the declaration says of a claim, told anew. */
const claimHeld = (payload: Record<string, unknown>, name: ClaimName): Held => {
  const value = Object.hasOwn(payload, name) ? payload[name] : undefined
  if (value === undefined || value === null) return isOptional(name) ? 'absent' : 'error'
  const type = typeOf(name)
  if (!type.startsWith('list')) return typeof value === (type === 'bool' ? 'boolean' : type) ? { value } : 'error'
  const item = type === 'list<string>' ? 'string' : 'number'
  return Array.isArray(value) && value.length <= 1000 && value.every(one => typeof one === item) ? { value } : 'error'
}

const escaped = (c: Chance, text: string): string =>
  Array.from(text, letter =>
    /[A-Za-z0-9]/.test(letter) && c.maybe(80)
      ? letter
      : Array.from(Buffer.from(letter), byte => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  ).join('')

interface Request {
  readonly look: Look
  readonly oracle: OracleRequest
}

const requestOf = (c: Chance): Request => {
  const payload = randomClaims(c)
  // A segment is not empty, and the edge refuses some bytes in it.
  const segment = (): string => `s${words(c).replace(/[\\/;]/g, '')}`.slice(c.maybe(70) ? 0 : 1) || 'a'
  const [account, item] = [segment(), segment()]
  const broken = c.maybe(4)
  const parameters = Array.from({ length: c.below(5) }, () => ({ name: c.pick(queryNames), value: c.maybe(8) ? null : words(c) }))
  const query = parameters.map(({ name, value }) => `${escaped(c, name)}=${value === null ? '%zz' : escaped(c, value)}`)
  const fields = Array.from({ length: c.below(4) }, () => ({
    name: c.pick(headerNames),
    value: c.maybe(15) ? '' : c.pick(['on', 'a', 'eu-7', 'é', '-']),
  }))
  const method = c.pick(['GET', 'POST'])
  const path = c.maybe(50) ? `/v1/${escaped(c, account)}/x/${escaped(c, item)}` : `/v2/${escaped(c, item)}/y/${escaped(c, account)}`
  const subject = words(c)
  const scopes = Array.from({ length: c.maybe(3) ? 257 : c.below(3) }, () => c.pick(['read', 'a', '😀']))
  const parts = [...query, ...(broken ? ['%ff=1'] : [])]
  return {
    look: new Look(
      facts({
        call: `${method} ${path}${parts.length > 0 ? `?${parts.join('&')}` : ''}`,
        claims: payload,
        subject,
        scopes,
        headers: fields.flatMap(({ name, value }) => [name, c.maybe(20) ? ` ${value}\t` : value]),
      }),
    ),
    oracle: {
      claims: name => claimHeld(payload, name as ClaimName),
      path: name => ({ value: name === 'account' ? account : item }),
      query: name => {
        const found = parameters.filter(parameter => parameter.name === name)
        if (found.length === 0) return broken ? 'error' : 'absent'
        return broken || found.length > 1 || found[0]?.value === null ? 'unreadable' : { value: found[0]?.value }
      },
      header: name => {
        const found = fields.filter(field => field.name === name)
        const filled = found.filter(field => field.value !== '')
        if (filled.length === 0) return 'absent'
        if (filled.length < found.length) return 'error'
        return found.length > 1 ? 'unreadable' : { value: found[0]?.value }
      },
      method,
      subject,
      scopes,
    },
  }
}

const told = (held: number): boolean | 'error' => (held === unsure ? 'error' : held === yes)

/** Random expressions, each for a few random requests: how often each answer came, for the generator must reach all of them. */
const compare = (seed: number, cases: number): Readonly<Record<string, number>> => {
  const c = chance(seed)
  const answers = { true: 0, false: 0, error: 0 }
  for (let i = 0; i < cases; i++) {
    const text = randomCheck(c)
    expect(typeCheck(text), text).toBeUndefined()
    const test = checkTest(read(text), lines, claims, 'grant')
    const judge = oracle(text)
    for (let k = 0; k < 4; k++) {
      const request = requestOf(c)
      const [ours, theirs] = [told(test(request.look)), judge(request.oracle)]
      if (ours !== theirs) {
        const { identity, origin } = request.look.facts
        throw new Error(`SEED=${seed} case ${i}: ${text}\nours ${ours}, CEL ${theirs} for ${JSON.stringify({ identity, origin })}`)
      }
      answers[`${ours}`]++
    }
  }
  return answers
}

/** The parser's own type check, as a second judge of ours: whatever we let through must pass it. */
const typeCheck = (() => {
  const environment = new Environment()
    .registerVariable({
      name: 'claims',
      schema: Object.fromEntries([...claims].map(([name, { type }]) => [name, type.replace('number', 'double')])),
    })
    .registerVariable('scopes', 'list<string>')
    .registerFunction('glob(string, string): bool', () => true)
    .registerFunction('re(string, string): bool', () => true)
  for (const name of ['path', 'query', 'header']) environment.registerVariable(name, 'map<string, string>')
  for (const name of ['method', 'subject']) environment.registerVariable(name, 'string')
  return (text: string): string | undefined => environment.check(text).error?.message
})()

const scraps = [
  '&&',
  '||',
  '!',
  '(',
  ')',
  '[',
  ']',
  '==',
  '=',
  '<',
  'in',
  '+',
  '-',
  '?',
  ':',
  ',',
  '.',
  "'",
  '"',
  '\\',
  '// x\n',
  ' ',
  '3',
  '3.0',
  '1e3',
  '0x1',
  'u',
  'true',
  'null',
  'claims',
  'claims.region',
  'query',
  'x',
  'has(',
  'size(',
  '.size()',
  'exists(x, ',
  '__proto__',
  'constructor',
  'é',
  '😀',
  '\ud800',
  '\u0000',
  '\n',
  '{',
  '}',
  "r'",
  "b'",
  "'''",
  '*',
  '%',
  ';',
]

const garbage = (c: Chance): string => {
  if (c.maybe(15)) return c.some(scraps, 30).join(c.pick(['', ' ']))
  if (c.maybe(2))
    return c.pick(['method', '!'.repeat(17), `${'(1 < '.repeat(17)}2${')'.repeat(17)}`, "re(method, '(')", "re(subject, 'a{999}')"])
  let text = randomCheck(c)
  // Without its brackets an expression shows which operator binds first.
  if (c.maybe(40)) {
    for (let n = 3; n > 0; n--) text = text.replaceAll(/(?<!\w)\(([^()]*)\)/g, (whole, inner: string) => (c.maybe(60) ? inner : whole))
    if (c.maybe(70)) return text
  }
  for (let n = 1 + c.below(3); n > 0; n--) {
    const at = c.below(text.length + 1)
    const cut = c.maybe(50) ? c.below(4) : 0
    text = text.slice(0, at) + (c.maybe(60) ? c.pick(scraps) : '') + text.slice(at + cut)
  }
  return text
}

/** Faults of reading, by number; a text that is let through is judged like any other. */
const readAnything = (seed: number, cases: number): ReadonlyMap<number, number> => {
  const c = chance(seed)
  const seen = new Map<number, number>()
  for (let i = 0; i < cases; i++) {
    const text = garbage(c)
    let asked = 0
    const count = <T>(answer: T): T => {
      asked++
      return answer
    }
    const counting: CheckEnvironment = {
      ...env,
      nearest: () => count(null),
      afford: { compile: () => count(true), match: () => count(true) },
    }
    const where = `SEED=${seed} case ${i}: ${JSON.stringify(text)}`
    const check = readCheck(text, counting)
    expect(asked, where).toBeLessThan(800)
    if ('root' in check && !isStray(text, JSON.stringify(check.root))) {
      expect(typeCheck(text), where).toBeUndefined()
      const request = requestOf(c)
      expect(told(checkTest(check, lines, claims, 'grant')(request.look)), where).toBe(oracle(text)(request.oracle))
    } else if (!('root' in check)) expect(check.length, where).toBeGreaterThan(0)
    for (const { at, number, message } of 'root' in check ? [] : check) {
      expect(
        at >= 0 && at <= text.length && number >= 501 && number <= 508 && /; |\. /.test(message) && message.endsWith('.'),
        `${where} ${number} ${message}`,
      ).toBe(true)
      seen.set(number, (seen.get(number) ?? 0) + 1)
    }
    if ('root' in check) seen.set(0, (seen.get(0) ?? 0) + 1)
  }
  return seen
}

const pieces = ['a', 'b', 'eu', '-', '7', 'é', '😀', '.', '*', 'c', '8']

/** How many of the random patterns fitted, of `glob` and of `re`. A native RegExp judges too: it shares nothing with RE2. */
const matchPatterns = (seed: number, cases: number): readonly [globs: number, expressions: number] => {
  const c = chance(seed)
  let [globs, expressions] = [0, 0]
  for (let i = 0; i < cases; i++) {
    const text = c.some(pieces, 6).join('')
    const wild = c.some([...pieces, '*', '*', '?', '?'], 6).join('')
    const regex = regexOf(c, 2)
    const where = `SEED=${seed} case ${i}: ${JSON.stringify({ text, wild, regex })}`
    const fits = [glob(wild)(text), expression(regex)(text)]
    expect(fits, where).toEqual([oracleGlob(text, wild), oracleRe(text, regex)])
    expect(fits[1], where).toBe(new RegExp(`^(?:${regex})$`, 'su').test(text))
    if (fits[0]) globs++
    if (fits[1]) expressions++
  }
  return [globs, expressions]
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const cases = Number(process.env['CASES'] ?? 5000)

describe('check, beside another implementation of CEL', () => {
  it(`gives the same answer or error for ${cases} random expressions of the subset (SEED=${seed})`, { timeout: 3_600_000 }, () => {
    const answers = compare(seed, cases)
    for (const [answer, count] of Object.entries(answers)) expect(count, answer).toBeGreaterThan(cases / 20)
  })

  it(`never trips over ${cases} mutated expressions and random scraps, and judges alike those that it lets through (SEED=${seed})`, {
    timeout: 3_600_000,
  }, () => {
    const seen = readAnything(seed, cases)
    // The rare ones show in a long run only.
    const wanted = cases < 100_000 ? [0, 501, 503, 504] : [0, 501, 502, 503, 504, 505, 506, 507, 508]
    for (const number of wanted) expect(seen.get(number) ?? 0, String(number)).toBeGreaterThan(0)
  })

  it(`fits ${cases} random patterns of glob and re to the same texts (SEED=${seed})`, { timeout: 3_600_000 }, () => {
    for (const fitted of matchPatterns(seed, cases)) expect(fitted).toBeGreaterThan(cases / 50)
  })
})
