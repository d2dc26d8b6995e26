import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compose } from '../../src/policy/compose.ts'
import { hostileMeaning, hostileYaml } from '../support/hostile.ts'
import { platformPolicy } from '../support/platform-policy.ts'

interface Loaded {
  readonly name: string
  readonly state: string
  readonly codes: readonly string[]
  readonly findings: number
  readonly odd: number
}

/** A loader that hangs is ended; how long it takes is the bench's to say, for a machine may be slow. */
const deadlineMs = 240_000
const heapMb = 512

/** Loads a whole set in a process that may use so much memory; rejects where it ends before the set does, with the file it was at. */
const loadSet = (set: 'yaml' | 'meaning'): Promise<Loaded[]> =>
  new Promise((resolve, reject) => {
    const program = join(import.meta.dirname, '../support/loader-child.ts')
    const child = spawn(process.execPath, [`--max-old-space-size=${heapMb}`, program, set], { stdio: ['ignore', 'pipe', 'pipe'] })
    const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk
    })
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      const lines = out.split('\n').filter(line => line !== '')
      if (code === 0) resolve(lines.map(line => JSON.parse(line)).filter(line => 'name' in line))
      else reject(new Error(`${signal ?? code} at ${lines.at(-1)}: ${err.slice(0, 500)}`))
    })
  })

const wellRead = [
  'five thousand rules',
  'a hundred thousand lines of paths',
  'paths that branch at each segment',
  'rules that each name a thousand callers',
  'rules of the longest lists',
]

describe(`a policy file that is written to hurt, read within ${heapMb} MB`, () => {
  it(
    'as YAML is refused with a code, and never ends the process',
    async () => {
      const loaded = await loadSet('yaml')
      expect(loaded.map(({ name }) => name)).toEqual(Object.keys(hostileYaml))
      for (const { name, state, codes, odd } of loaded) {
        expect(state, name).toBe('unavailable')
        expect(
          codes.filter(code => /^P1\d\d$|^P20[1-4]$/.test(code)),
          name,
        ).not.toEqual([])
        expect(odd, name).toBe(0)
      }
    },
    deadlineMs + 10_000,
  )

  it(
    'that reads well and means too much is read or refused, and never ends the process',
    async () => {
      const loaded = await loadSet('meaning')
      expect(loaded.map(({ name }) => name)).toEqual(Object.keys(hostileMeaning))
      const found = loaded.filter(({ state }) => state === 'enforced').map(({ name }) => name)
      expect(found).toEqual(wellRead)
      for (const { name, odd, findings } of loaded) {
        expect(odd, name).toBe(0)
        expect(findings, name).toBeLessThan(1100)
      }
    },
    deadlineMs + 10_000,
  )
})

/** Mulberry32. */
const chance = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below)
  }
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const cases = Number(process.env['CASES'] ?? 1500)
const samples = ['acme.policy.yaml', 'acme.policy-test.yaml'].map(name => ({
  name,
  text: readFileSync(join(import.meta.dirname, '../support/conformance', name), 'utf8'),
}))
const scraps = [
  '{',
  '}',
  '[',
  ']',
  ': ',
  '- ',
  '\n',
  '\t',
  '"',
  "'",
  '|',
  '>',
  '&a ',
  '*a',
  '!!str ',
  '<<: ',
  '---\n',
  '#',
  '%',
  '? ',
  '\0',
  '\u2028',
  '\ud800',
  '__proto__: ',
  'null',
  '.inf',
  '9e999',
  '{x}',
  '**',
  '  ',
]

const mutated = (text: string, below: (n: number) => number): Buffer => {
  let bytes = Buffer.from(text)
  for (let i = 1 + below(4); i > 0; i--) {
    const at = below(bytes.length + 1)
    const end = Math.min(bytes.length, at + below(40))
    const kind = below(5)
    const scrap =
      kind === 0
        ? Buffer.from(scraps[below(scraps.length)] ?? '')
        : kind === 1
          ? Buffer.from([below(256)])
          : kind === 2
            ? bytes.subarray(at, Math.min(bytes.length, at + below(400)))
            : Buffer.alloc(0)
    bytes = Buffer.concat([bytes.subarray(0, at), scrap, bytes.subarray(kind === 0 ? at : end)])
  }
  return bytes
}

describe('a policy or test file with faults of chance', () => {
  it(`never makes the loader throw; what it says has a code, a place in the file and one line (SEED=${seed} CASES=${cases})`, () => {
    const below = chance(seed)
    const platform = { name: '_platform.policy.yaml', bytes: Buffer.from(platformPolicy) }
    let refused = 0
    for (let i = 0; i < cases; i++) {
      const broken = below(samples.length)
      const files = samples.map(({ name, text }, k) => ({ name, bytes: k === broken ? mutated(text, below) : Buffer.from(text) }))
      const load = () => compose([platform, ...files], null, { issuers: null, testsGateReload: true, now: 0 })
      const shown = () => files[broken]?.bytes.toString('latin1') ?? ''
      const { findings, composition } = load()
      expect(composition?.engine.tenants, shown()).toHaveLength(1)
      for (const { file, line, column, code, message } of findings) {
        const { bytes } = files.find(({ name }) => name === file) ?? { bytes: Buffer.alloc(0) }
        const fits = line >= 0 && column >= 0 && line <= bytes.toString().split('\n').length + 1
        if (!fits || !/^[PW]\d{3}$/.test(code) || message === '' || message.includes('\n') || message.length > 5000)
          expect({ file, line, column, code, message }, shown()).toBe('a finding')
      }
      if (findings.some(({ severity }) => severity === 'error')) refused++
      if (i % 10 === 0) expect(load().findings).toEqual(findings)
    }
    expect(refused).toBeGreaterThan(cases / 2)
  }, 120_000)
})
