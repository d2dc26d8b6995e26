import type { Facts, PolicyEngine } from '../../src/model/decision.ts'
import { compose } from '../../src/policy/compose.ts'
import { readPolicyFolder } from '../../src/policy-folder.ts'
import type { FactOptions } from '../../src/record/facts.ts'
import { type Asked, facts } from '../unit/policy/fixtures.ts'
import { recorder } from './records.ts'

/** The policies of a folder, in force. */
export const engineOf = async (dir: string): Promise<PolicyEngine> => {
  const folder = await readPolicyFolder(dir)
  if ('error' in folder) throw new Error(folder.error.message)
  const { composition, findings } = compose(folder.files, null, { issuers: null, testsGateReload: false, now: 0 })
  if (composition === null) throw new Error(findings.map(finding => finding.message).join('; '))
  return composition.engine
}

/** Requests to acme of this repository's policies. */
export const ofAcme = ({ claims, ...asked }: Asked): Facts =>
  facts({
    issuer: 'http://127.0.0.1:9400',
    audiences: ['postern-demo'],
    host: 'acme.localhost',
    now: Date.parse('2026-11-23T10:00:00Z'),
    ...asked,
    claims: { tenant: 'acme', groups: ['acme-finance'], region: 'eu', ...claims },
  })

/** The log that these requests leave. */
export const logOf = (engine: PolicyEngine, requests: readonly Facts[], options: FactOptions): string => {
  const record = recorder(options)
  return requests.map(request => record(engine, request)).join('')
}
