import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')

const filesBelow = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))

interface Import {
  readonly from: string
  readonly to: string
  readonly names: string
  readonly typeOnly: boolean
}

const importsOf = (file: string): Import[] => {
  const text = readFileSync(join(root, file), 'utf8')
  const found: Import[] = []
  for (const [, keyword, names, to] of text.matchAll(/^(import|export)\s([^'"]*?)\sfrom\s'([^']+)'/gms)) {
    if (keyword === 'export' && !/^(type\s*)?[{*]/.test(names ?? '')) continue
    found.push({ from: file, to: target(file, to ?? ''), names: names ?? '', typeOnly: /^type\s/.test(names ?? '') })
  }
  for (const [, to] of text.matchAll(/^import\s+'([^']+)'/gm))
    found.push({ from: file, to: target(file, to ?? ''), names: '', typeOnly: false })
  for (const [, to] of text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g))
    found.push({ from: file, to: target(file, to ?? ''), names: '', typeOnly: false })
  return found
}

const target = (file: string, to: string): string => (to.startsWith('.') ? relative(root, resolve(root, dirname(file), to)) : to)

const source = filesBelow('src')
const commands = filesBelow('cmd')
const imports = [...source, ...commands].flatMap(importsOf)

const stages = ['edge', 'identity', 'policy', 'limits', 'credentials', 'upstream', 'data', 'record', 'revocation', 'store']

/** model <- config <- the stage folders <- the files of src itself <- cmd */
const rank = (file: string): number => {
  if (file.startsWith('cmd/')) return 4
  const folder = file.split('/')[1] ?? ''
  if (folder === 'model') return 0
  if (folder === 'config') return 1
  return stages.includes(folder) ? 2 : 3
}

/** Each outside package lives in one place, so that replacing it touches one place. */
const homes: Readonly<Record<string, readonly string[]>> = {
  yaml: ['src/config/'],
  '@marcbachmann/cel-js': ['src/policy/check/'],
  re2js: ['src/policy/check/'],
  undici: ['src/upstream/'],
  'http-proxy': ['src/upstream/upgrade.ts'],
  'openid-client': ['src/identity/'],
  jose: ['src/identity/', 'src/credentials/', 'src/backend/'],
  'cassandra-driver': ['src/store/', 'src/backend/'],
  bcryptjs: ['src/credentials/'],
  'prom-client': ['src/record/metrics-asked.ts', 'src/record/metrics-audit.ts', 'src/record/metrics.ts'],
  pino: ['src/record/log.ts'],
  esbuild: ['cmd/build.mjs'],
}

/** Files over 300 lines, each with the reason. None. */
const longByIntent: readonly string[] = []

describe('imports', () => {
  it('point down only: model, config, stages, the files of src, cmd', () => {
    const wrong = imports.filter(({ from, to }) => to.startsWith('src/') && rank(to) > rank(from))
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  it('never go sideways between stage folders', () => {
    const wrong = imports.filter(
      ({ from, to }) => to.startsWith('src/') && rank(from) === 2 && rank(to) === 2 && from.split('/')[1] !== to.split('/')[1],
    )
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  it('of model name nothing else of the project', () => {
    const wrong = imports.filter(({ from, to }) => from.startsWith('src/model/') && !to.startsWith('src/model/') && !to.startsWith('node:'))
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  it('make no circle, not even of types', () => {
    const edges = new Map<string, string[]>()
    for (const { from, to } of imports) if (to.startsWith('src/')) edges.set(from, [...(edges.get(from) ?? []), to])
    const done = new Set<string>()
    const visit = (file: string, path: readonly string[]): readonly string[] | null => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
      if (done.has(file)) return null
      for (const next of edges.get(file) ?? []) {
        const circle = visit(next, [...path, file])
        if (circle) return circle
      }
      done.add(file)
      return null
    }
    for (const file of source) expect(visit(file, []), 'a circle').toBeNull()
  })

  it('take every outside package from its one home', () => {
    const outside = imports.filter(
      ({ to }) => !to.startsWith('src/') && !to.startsWith('cmd/') && !to.startsWith('deploy/') && !to.startsWith('node:'),
    )
    const wrong = outside.filter(({ from, to }) => {
      const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : (to.split('/')[0] ?? '')
      return !homes[name]?.some(home => from.startsWith(home))
    })
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })
})

describe('decisions cannot be made elsewhere', () => {
  const makers = (file: string, name: string): string[] =>
    imports
      .filter(({ to, names, typeOnly }) => to === file && !typeOnly && new RegExp(`(?<!type )\\b${name}\\b`).test(names))
      .map(({ from }) => from)

  it('only policy/decide.ts makes a Permit', () => {
    expect(makers('src/model/permit.ts', 'Permit')).toEqual(['src/policy/decide.ts'])
  })

  it('only oblige, refuse and resource-metadata make what goes to the client', () => {
    const expected = ['src/edge/oblige.ts', 'src/edge/refuse.ts', 'src/edge/resource-metadata.ts']
    expect(makers('src/model/exchange.ts', 'Outgoing').sort()).toEqual(expected)
  })
})

describe('files', () => {
  it('have at most 300 lines', () => {
    const long = [...source, ...commands].filter(file => readFileSync(join(root, file), 'utf8').split('\n').length > 301)
    expect(long).toEqual(longByIntent)
  })

  it('of src read no environment, and use no global fetch', () => {
    const wrong = source.filter(file =>
      /\bprocess\.env\b|(?<![.\w])fetch\(\s*['"`]|globalThis\.fetch/.test(readFileSync(join(root, file), 'utf8')),
    )
    expect(wrong).toEqual([])
  })

  it('of src hold no state of their own: nothing at the top level can be reassigned', () => {
    const wrong = source.filter(file => /^(export )?(let|var) /m.test(readFileSync(join(root, file), 'utf8')))
    expect(wrong).toEqual([])
  })

  it('open a Secret only where it is sent or checked', () => {
    const openers = source.filter(
      file =>
        /\.open\(\)/.test(readFileSync(join(root, file), 'utf8')) && /[sS]ecret|password/.test(readFileSync(join(root, file), 'utf8')),
    )
    expect(
      openers.filter(file => !file.startsWith('src/credentials/') && !file.startsWith('src/store/') && file !== 'src/model/secret.ts'),
    ).toEqual(['src/edge/tls.ts', 'src/identity/introspect.ts', 'src/identity/nonces.ts', 'src/record/facts.ts'])
  })
})
