import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
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

  it('yield P209 for each key that is not built yet, and nothing else', () => {
    expect(new Set(findings.map(finding => finding.code))).toEqual(new Set(['P209']))
  })

  it('come into force: the policy itself is built whole', () => {
    expect(composition?.engine.tenants).toMatchObject([{ tenant: 'acme', state: 'enforced' }])
  })
})

describe('the example test file without never and mutants', () => {
  const test = read('acme.policy-test.yaml')
  const cuts = [/^never:.*\n( .*\n)+/gm, /, mutants-killed: 90%/g]
  const bytes = Buffer.from(cuts.reduce((text, pattern) => text.replaceAll(pattern, ''), test.bytes.toString()))

  it('agrees with the example policy in every expectation', () => {
    const { findings, composition } = load([platformFile(), read('acme.policy.yaml'), { ...test, bytes }], null, { testsGateReload: true })
    expect(findings).toEqual([])
    expect(composition?.engine.tenants).toMatchObject([{ tenant: 'acme', state: 'enforced' }])
  })
})
