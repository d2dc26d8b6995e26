import { describe, expect, it } from 'vitest'
import { finish } from '../../../../src/config/steps.ts'
import { candidates } from '../../../../src/policy/engine/route-index.ts'
import { RouteTree } from '../../../../src/policy/engine/route-tree.ts'
import { parseLine, type RouteLine } from '../../../../src/policy/language/pattern.ts'
import { covers, type PathPattern, pathAtoms } from '../../../../src/policy/tools/classes/paths.ts'

const line = (text: string): RouteLine => {
  const read = parseLine(`GET ${text}`)
  if (!('segments' in read)) throw new Error(text)
  return read
}
const pattern = (text: string): PathPattern =>
  text.startsWith('!') ? { line: line(text.slice(1)), ignoreSlash: true } : { line: line(text), ignoreSlash: false }

const index = ({ line: { segments, rest }, ignoreSlash }: PathPattern) => {
  const effect = ignoreSlash ? 'deny' : 'allow'
  const tree = new RouteTree()
  tree.add({ effect, to: [{ segments, rest, methods: ['GET'] }], who: [] })
  return { effect, table: finish(tree.table()) } as const
}

/** Which patterns cover a path, as the proxy's own index says. */
const found = (patterns: readonly PathPattern[], path: string): string =>
  patterns.map((one, i) => (candidates(index(one), 'GET', path).length > 0 ? i : '-')).join('')

const everyone = (patterns: readonly PathPattern[]): ReadonlySet<number> => new Set(patterns.keys())
const shown = (...texts: string[]): string[] => {
  const patterns = texts.map(pattern)
  return (pathAtoms(patterns, everyone(patterns)) ?? []).map(atom => atom.shown).sort()
}

const words = ['a', 'b', 'c', 'z']
const somePaths = (depth: number): string[] =>
  depth === 0 ? [''] : somePaths(depth - 1).flatMap(path => [path, ...words.map(word => `${path}/${word}`)])
const paths = [...new Set(somePaths(4).flatMap(path => (path === '' ? ['/'] : [path, `${path}/`])))]
const texts = [
  '/',
  '/a',
  '/a/',
  '/{x}',
  '/{x}/',
  '/**',
  '/a/**',
  '/{x}/b',
  '/a/{y}',
  '/a/{y}/',
  '/{x}/{y}/c',
  '/{x}/b/**',
  '/b/c/a',
  '/c/{x}/**',
]

describe('the kinds of paths', () => {
  it('show every set of patterns that some path matches, and no other', () => {
    let seed = 7
    const next = (n: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31
      return (seed >> 8) % n
    }
    for (let i = 0; i < 60; i++) {
      const patterns = Array.from({ length: 1 + next(6) }, () => pattern(`${next(2) === 0 ? '!' : ''}${texts[next(texts.length)]}`))
      const atoms = pathAtoms(patterns, everyone(patterns)) ?? []
      const wanted = new Set(paths.map(path => found(patterns, path)).filter(set => /\d/.test(set)))
      const got = new Set(atoms.map(atom => found(patterns, atom.path)).filter(set => /\d/.test(set)))
      expect([...got].sort(), JSON.stringify(patterns)).toEqual([...wanted].sort())
    }
  })

  it('compare literals decoded, and show them as they are written', () => {
    const patterns = ['/%40me', '/@me', '/{x}'].map(pattern)
    const atoms = pathAtoms(patterns, everyone(patterns)) ?? []
    expect(new Set(atoms.map(atom => found(patterns, atom.path)))).toEqual(new Set(['---', '012', '--2']))
  })

  it('read as the patterns do', () => {
    expect(shown('/v1/{x}/invoices')).toContain('/v1/*/invoices')
    expect(shown('/v1/**')).toEqual(['/', '/v1/**'])
    expect(shown('/**')).toEqual(['/**'])
    expect(shown('/v1/**', '/v1/a')).toContain('/v1/a')
  })

  it('are only those that lie on the way of what is of interest', () => {
    const patterns = ['/a/{x}', '/b/{x}', '/c/**'].map(pattern)
    expect((pathAtoms(patterns, new Set([1])) ?? []).map(atom => atom.shown)).toEqual(['/', '/b', '/b/', '/b/*', '/b/*/'])
  })

  it('that are too many are not guessed at', () => {
    const crossing = Array.from({ length: 17 }, (_, i) => `/${Array.from({ length: 17 }, (_, k) => (k === i ? 'a' : `{x${k}}`)).join('/')}`)
    const patterns = crossing.map(pattern)
    expect(pathAtoms(patterns, everyone(patterns))).toBeNull()
  })

  it('a line covers what the index says it covers', () => {
    for (const text of texts)
      for (const ignoreSlash of [true, false])
        for (const path of paths) {
          const one = { line: line(text), ignoreSlash }
          expect(covers(one, path), `${text} ${path}`).toBe(found([one], path) === '0')
        }
  })
})
