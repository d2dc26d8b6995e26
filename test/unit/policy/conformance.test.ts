import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { benchOf } from '../../../src/policy/tests/tested.ts'
import { proveNever } from '../../../src/policy/tools/never.ts'
import { load, platformFile } from './fixtures.ts'

const read = (name: string) => ({ name, bytes: readFileSync(new URL(`../../support/conformance/${name}`, import.meta.url)) })

describe('the example files of the specification', () => {
  const files = [read('acme.policy.yaml'), read('acme.policy-test.yaml')]
  const { findings, composition } = load([platformFile(), ...files])

  it('are kept byte for byte', () => {
    expect(files.map(file => createHash('sha256').update(file.bytes).digest('hex').slice(0, 16))).toEqual([
      '72e8279769805c12',
      '2d104665f2455bcc',
    ])
  })

  it('are read whole, and nothing is wrong with them', () => {
    expect(findings).toEqual([])
  })

  it('come into force: the policy itself is built whole', () => {
    expect(composition?.engine.tenants).toMatchObject([{ tenant: 'acme', state: 'enforced' }])
  })
})

describe('the example test file', () => {
  const files = [platformFile(), read('acme.policy.yaml'), read('acme.policy-test.yaml')]

  it('agrees with the example policy in every expectation, and both never lines are proved', () => {
    const { findings, composition } = load(files, null, { testsGateReload: true })
    expect(findings).toEqual([])
    expect(composition?.engine.tenants).toMatchObject([{ tenant: 'acme', state: 'enforced' }])
    const entry = composition?.entries.get('acme')
    const bench = entry && benchOf(entry.onDisk, composition?.platform ?? null)
    if (!entry || !bench) throw new Error('refused')
    expect(entry.tested.files.flatMap(test => test.never)).toHaveLength(2)
    expect(proveNever(bench, entry.tested.files)).toEqual([])
  })
})
