import { parseArgs } from 'node:util'
import { zoneClocks } from '../src/policy/language/zone-clock.ts'
import { askedFacts, Unanswerable } from '../src/policy/tools/ask.ts'
import { explainFacts } from '../src/policy/tools/explain.ts'
import { explanationLines } from '../src/policy/tools/explain-text.ts'
import { safeJson } from '../src/policy/tools/words.ts'
import { exit, type Io } from './io.ts'
import { loadPolicies, plain } from './policies.ts'
import { tenantOf } from './tenant.ts'

export const help = `
postern explain TENANT CALLER REQUEST [--at INSTANT] [--with KEY=VALUE]... [--policies DIR] [--json]

Says how one request is decided and why: what recognises the tenant, every rule on the route with each of its conditions true, false or error at
file:line:column, what decided, what the reply owes, and for a refusal the smallest change that would have had it allowed.
  CALLER            a caller of the tenant's test files
  REQUEST           a request of the tenant's test files, or one written out: "GET /v1/invoices?limit=5"
  --at INSTANT      the clock (default: now of the test file): 2026-11-23T10:00:00Z
  --with KEY=VALUE  another value for a key of the caller, in YAML, as in cases: --with ip=10.1.2.3 --with 'groups=[staff]' --with acr=null
  --policies DIR    the folder (default policies)
  --json            one JSON object
Exit: 0 explained, whatever was decided; 1 the policy or its tests have errors, 64 usage or files that cannot be read.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      at: { type: 'string' },
      with: { type: 'string', multiple: true, default: [] },
      policies: { type: 'string', default: 'policies' },
      json: { type: 'boolean', default: false },
    },
  })
  const [name, caller, request] = positionals
  if (name === undefined || caller === undefined || request === undefined || positionals.length > 3) {
    io.err(
      'postern explain: write a tenant, a caller and a request, the request in quotes if it has blanks.\nTry: postern explain --help\n',
    )
    return exit.usage
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
