import { parseArgs } from 'node:util'
import type { Recorded } from '../src/model/recorded.ts'
import { zoneClocks } from '../src/policy/language/zone-clock.ts'
import { askedFacts, Unanswerable } from '../src/policy/tools/ask.ts'
import { explainFacts } from '../src/policy/tools/explain.ts'
import { explainRecord, recordLines } from '../src/policy/tools/explain-record.ts'
import { explanationLines } from '../src/policy/tools/explain-text.ts'
import { safeJson } from '../src/policy/tools/words.ts'
import { factHash } from '../src/record/facts.ts'
import { KeyFault, readHashKey } from '../src/record/keys.ts'
import { againstOf } from './against.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, plain, policyOptions } from './policies.ts'
import { eachRecorded, leftOut, NoRecords } from './records.ts'
import { tenantOf, versionErrors } from './tenant.ts'

export const help = `
postern explain TENANT CALLER REQUEST [--at INSTANT] [--with KEY=VALUE]... [--policies DIR] [--json]
postern explain --record ID --audit PLACE... [--hash-key-file FILE]... [--policies DIR] [--json]

Says how one request is decided and why: what recognises the tenant, every rule on the route with each of its conditions true, false or error at
file:line:column, what decided, what the reply owes, and for a refusal the smallest change that would have had it allowed.
  CALLER            a caller of the tenant's test files
  REQUEST           a request of the tenant's test files, or one written out: "GET /v1/invoices?limit=5"
  --at INSTANT      the clock (default: now of the test file): 2026-11-23T10:00:00Z
  --with KEY=VALUE  another value for a key of the caller, in YAML, as in cases: --with ip=10.1.2.3 --with 'groups=[staff]' --with acr=null
  --policies DIR    the folder (default policies)
  --json            one JSON object

With --record, a request that was decided: what its record says, whether the folder holds the policies that decided, and the explanation if every
value in it is on record. Else which values are hashed or missing, and what the request can only have come to. Nothing is guessed.
  --record ID           the request id, as x-postern-request-id, problem bodies and records have it
  --audit PLACE         a file of records, the folder of a chain, or the folder of all chains (audit.dir); may be repeated
  --hash-key-file FILE  a key of audit.hash-key-files: hashed values that the policies name are known again
Exit: 0 explained, whatever was decided; 1 the policy or its tests have errors, 2 not explained in full, or no such record with a decision, 64 usage or
files that cannot be read.
`

const options = {
  at: { type: 'string' },
  with: { type: 'string', multiple: true, default: [] as string[] },
  record: { type: 'string' },
  audit: { type: 'string', multiple: true, default: [] as string[] },
  'hash-key-file': { type: 'string', multiple: true, default: [] as string[] },
  ...policyOptions,
} as const

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options })
  const { record, audit, 'hash-key-file': keyFiles } = values
  if (record !== undefined) {
    if (audit.length === 0 || positionals.length > 0 || values.at !== undefined || values.with.length > 0)
      return refuse('with --record write --audit PLACE, and no caller, request, --at or --with: its record tells them.', io)
    return await explainRecorded({ ...values, id: record, keyFiles }, io)
  }
  if (audit.length > 0 || keyFiles.length > 0) return refuse('--audit and --hash-key-file belong to --record ID.', io)
  const [name, caller, request] = positionals
  if (name === undefined || caller === undefined || request === undefined || positionals.length > 3) {
    return refuse('write a tenant, a caller and a request, the request in quotes if it has blanks; or --record ID.', io)
  }
  const policies = await loadPolicies('explain', { dir: values.policies, config: undefined, names: [] }, io)
  if (typeof policies === 'number') return policies
  const tenant = tenantOf('explain', policies, name, io)
  if (typeof tenant === 'number') return tenant
  const { entry, bench } = tenant
  const { scope } = entry.onDisk
  const asking = { caller, request, with: values.with, at: values.at ?? null }
  const facts = scope && askedFacts(bench, scope, entry.tested.files, asking, zoneClocks())
  if (facts === null || facts instanceof Unanswerable) {
    for (const message of facts?.messages ?? []) io.err(`postern explain: ${plain(message)}\n`)
    return exit.usage
  }
  const explanation = explainFacts(bench, facts)
  io.out(values.json ? `${safeJson(explanation)}\n` : `${explanationLines(explanation).map(plain).join('\n')}\n`)
  return exit.done
}

const refuse = (message: string, io: Io): number => {
  io.err(`postern explain: ${plain(message)}\nTry: postern explain --help\n`)
  return exit.usage
}

interface Asked {
  readonly id: string
  readonly audit: readonly string[]
  readonly keyFiles: readonly string[]
  readonly policies: string
  readonly json: boolean
}

const explainRecorded = async ({ id, audit, keyFiles, policies: dir, json }: Asked, io: Io): Promise<number> => {
  try {
    const hashers = (await Promise.all(keyFiles.map(readHashKey))).map(factHash)
    const found: Recorded[] = []
    const take = (one: Recorded): boolean => one.id !== id || found.push(one) === 0
    const met = await eachRecorded(audit, null, take, io)
    const [recorded] = found
    if (recorded === undefined) {
      const without = leftOut(met)
      const others = without === '' ? '' : `; records without a decision of a policy are not looked into: ${without}`
      io.err(
        `postern explain: ${plain(`no record of ${count(met.decided, 'decided request')} has the id ${JSON.stringify(id)}${others}`)}\n`,
      )
      return exit.cannotTell
    }
    const policies = await loadPolicies('explain', { dir, config: undefined, names: [] }, io)
    if (typeof policies === 'number') return policies
    const against = policies.composition && againstOf(policies.composition)
    if (against === null) {
      versionErrors(policies, null, io)
      return exit.findings
    }
    const { tenant } = recorded
    const known = tenant !== null && policies.composition?.entries.has(tenant)
    const here = known ? tenantOf('explain', policies, tenant, io) : null
    if (typeof here === 'number') return here
    const explained = explainRecord(against, here?.bench ?? null, recorded, hashers)
    io.out(json ? `${safeJson(explained)}\n` : `${recordLines(explained).map(plain).join('\n')}\n`)
    return explained.explanation === null ? exit.cannotTell : exit.done
  } catch (fault) {
    if (fault instanceof KeyFault || fault instanceof NoRecords) return refuse(fault.message, io)
    throw fault
  }
}
