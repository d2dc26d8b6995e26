import { parseArgs } from 'node:util'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, type Policies, policyOptions, printWithSource, selected } from './policies.ts'

export const help = `
postern check [FILE...] [--policies DIR] [--config proxy.config.yaml] [--strict] [--at MOMENT] [--json]

Reads, compiles and lints every policy and test file of the folder and prints every problem: file:line:column, code, and what to write
instead.
  FILE...           print problems of these files only; all are read, for some problems only show between files
  --policies DIR    the folder (default policies)
  --config FILE     also checks this configuration, and that the policies fit it: issuers, audiences, hosts of routes, delivery of roles. Files that
                    it names (secrets, keys, certificates) are not opened here; postern serve opens them before it listens, and names what is wrong
  --strict          warnings count as errors
  --at MOMENT       the clock of the load and of the lints (default now), such as 2026-11-23T10:00:00Z
  --json            one JSON object: { findings, tenants }
Exit: 0 no problem, 1 problems, 64 usage or files that cannot be read.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...policyOptions,
      config: { type: 'string' },
      strict: { type: 'boolean', default: false },
      at: { type: 'string' },
    },
  })
  const policies = await loadPolicies('check', { dir: values.policies, config: values.config, names: positionals, at: values.at }, io)
  if (typeof policies === 'number') return policies
  const findings = selected(policies, values.strict)
  const errors = findings.filter(finding => finding.severity === 'error').length
  const tenants = tenantsOf(policies)
  if (values.json) io.out(`${JSON.stringify({ findings, tenants })}\n`)
  else {
    printWithSource(findings, policies.files, io)
    for (const { tenant, rules, digest, owners, good } of tenants)
      io.out(
        `${tenant}: ${good ? count(rules, 'rule') : 'refused'}, sha256 ${digest.slice(0, 12)}${good ? `, owned by ${owners.join(', ')}` : ''}\n`,
      )
    const whole = policies.composition === null ? 'nothing of this folder would be loaded' : count(tenants.length, 'tenant')
    io.out(`${whole}, ${count(errors, 'error')}, ${count(findings.length - errors, 'warning')}\n`)
  }
  return errors > 0 ? exit.findings : exit.done
}

const tenantsOf = ({ composition, only }: Policies) =>
  [...(composition?.entries ?? [])]
    .filter(([, { onDisk }]) => only === null || only.has(onDisk.file))
    .map(([tenant, { onDisk, enforced }]) => ({
      tenant,
      file: onDisk.file,
      digest: onDisk.digest,
      good: enforced !== null,
      rules: onDisk.policy?.document.rules.length ?? 0,
      owners: onDisk.policy?.document.owners ?? [],
    }))
