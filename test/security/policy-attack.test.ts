import { describe, expect, it } from 'vitest'
import { parse } from '../../src/config/parse.ts'
import { chance } from '../support/chance.ts'
import { allow, decide, deny, engineFor, load, platformFile, tenantFile } from '../unit/policy/fixtures.ts'

const orders = (items: readonly string[]): readonly (readonly string[])[] =>
  items.length < 2 ? [items] : items.flatMap(item => orders(items.filter(other => other !== item)).map(rest => [item, ...rest]))

describe('a check over many lines', () => {
  it.each([16, 17, 24])('refuses on %i lines that put its variables at different places', lines => {
    const to = orders(['a', 'b', 'c', 'd'])
      .slice(0, lines)
      .map(names => `GET /${names.map(name => `{${name}}`).join('/')}`)
    const check = ['a', 'b', 'c', 'd'].map(name => `path.${name} == 'secret'`).join(' || ')
    const engine = engineFor({ rules: [deny('never-secret', { to, when: { check } }), allow('rest', { to: 'GET /**' })] })
    expect(decide(engine, { call: 'GET /1/secret/3/4' })).toBe('deny never-secret')
    expect(decide(engine, { call: 'GET /1/2/3/4' })).toBe('allow rest')
  })
})

describe('patterns made to take long', () => {
  it('hold a request up for a fraction of a second together, whatever text it brings', () => {
    const rules = Array.from({ length: 60 }, (_, i) =>
      deny(`d${i}`, { when: { check: `re(claims.text, r'\\pL*a\\pL{20}[c-e]x{0,${i}}')` } }),
    )
    const engine = engineFor({ claims: { text: 'string' }, rules: [...rules, allow('rest')] })
    const next = chance(11)
    const took = Array.from({ length: 4 }, () => {
      const text = Array.from({ length: 1024 }, () => next.pick(['a', 'b'])).join('')
      const began = performance.now()
      decide(engine, { call: 'GET /v1/a', claims: { text } })
      return performance.now() - began
    })
    expect(Math.min(...took)).toBeLessThan(250)
  })
})

describe('a file made to take long', () => {
  const full = (text: string): string => text.repeat(Math.floor((2 * 1024 * 1024) / text.length))

  it.each([
    ['brackets that close nothing', full(']')],
    ['brackets in pairs the wrong way round', full('}{')],
    ['values behind the document', full('{a: {a: {a: {a: 1}}}}, ')],
    ['a list that never ends', `[${full(',')}`],
    ['quotes', full('"')],
    ['documents', full('a\n---\n')],
    ['one key again and again', full('a: 1\n')],
    ['entries without number', full('- a: 1\n')],
  ])('%s is refused with the one problem that comes first, not read to its end', (_, text) => {
    const codes = parse({ file: 'a.yaml', bytes: Buffer.from(text), family: 'P' }).findings.map(f => f.code)
    expect(codes).toHaveLength(1)
    expect(codes[0]).toMatch(/^P1(0[2367]|10)$/)
  })

  it('a thousand names that name one another are refused with no more words than somebody reads', () => {
    const who = Object.fromEntries(
      Array.from({ length: 1000 }, (_, i) => [`w${i}`, Array.from({ length: 300 }, (_, k) => `w${(i * 7 + k + 1) % 1000}`)]),
    )
    const { findings } = load([platformFile(), tenantFile('acme', { who })])
    const longest = Math.max(...findings.map(({ message }) => message.length))
    expect(findings.length).toBeLessThan(10_000)
    expect(longest).toBeLessThan(500)
  })
})
