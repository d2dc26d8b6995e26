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

  it('leave the tenant without a version in force, so its requests get 503', () => {
    expect(composition?.engine.tenants).toMatchObject([{ tenant: 'acme', state: 'unavailable', digestEnforced: null }])
  })
})

/** The examples without the keys that are not built yet; what is left says what it always said. */
const built = (name: string, cuts: readonly (readonly [RegExp, string])[]) => {
  const file = read(name)
  return { ...file, bytes: Buffer.from(cuts.reduce((text, [pattern, by]) => text.replaceAll(pattern, by), file.bytes.toString())) }
}

describe('the example files without check, hide, limit, always and never', () => {
  const policy = built('acme.policy.yaml', [
    [/^always:.*\n( .*\n)+/gm, ''],
    [/^ {4}when: \{ check: .*\n/gm, ''],
    [/^ {6}check: .*\n/gm, ''],
    [/(then: \{ cassandra-role: \w+).*/g, '$1 }'],
  ])
  const test = built('acme.policy-test.yaml', [
    [/^never:.*\n( .*\n)+/gm, ''],
    [/, mutants-killed: 90%/g, ''],
  ])

  it('agree with every expectation but those that only a check makes true', () => {
    const found = load([platformFile(), policy, test], null, { testsGateReload: true }).findings
    expect(found.map(finding => finding.message.split('.')[0])).toEqual([
      'anna us-invoice: wanted deny, got allow by read-own-region-invoices',
      'lea us-invoice: wanted deny, got allow by read-own-region-invoices',
      'lea-stale us-invoice: wanted deny, got allow by read-own-region-invoices',
      'bot us-invoice: wanted deny, got allow by reconciler-reads-invoices',
      'lea release: wanted deny by default, got allow by release-payments',
    ])
  })
})
