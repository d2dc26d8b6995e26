import { parseArgs } from 'node:util'
import { platformName } from '../src/policy/language/names.ts'
import type { Version } from '../src/policy/load/version.ts'
import { preamble, type Said, sayPolicy } from '../src/policy/tools/say.ts'
import { safeJson } from '../src/policy/tools/words.ts'
import { exit, type Io } from './io.ts'
import { loadPolicies, type Policies, plain, policyOptions } from './policies.ts'
import { tenantOf, versionErrors } from './tenant.ts'

export const help = `
postern say [TENANT] [RULE] [--policies DIR] [--json]

Says in plain English what policies mean: one sentence or a few for each rule, with every key of it. The same rules give the same words, so
two versions can be compared line by line, and what decides differently reads differently.
  TENANT            one tenant, or ${platformName} (default: the platform file and every tenant)
  RULE              one rule of it
  --policies DIR    the folder (default policies)
  --json            one JSON array of { tenant, effect, rule, text }; effect and rule are null for what is about the whole policy
Exit: 0 said, 1 a policy has errors (nothing is said), 64 usage or files that cannot be read.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: policyOptions,
  })
  const [tenant, rule] = positionals
  if (positionals.length > 2) {
    io.err('postern say: write at most a tenant and a rule.\nTry: postern say --help\n')
    return exit.usage
  }
  const policies = await loadPolicies('say', { dir: values.policies, config: undefined, names: [] }, io)
  if (typeof policies === 'number') return policies
  const said = sayAll(policies, tenant, io)
  if (typeof said === 'number') return said
  const wanted = said.filter(one => rule === undefined || one.rule === rule)
  if (wanted.length === 0) {
    const known = said.flatMap(one => one.rule ?? [])
    io.err(`${plain(`postern say: ${tenant} has no rule ${JSON.stringify(rule)}. Known: ${known.join(', ')}.`)}\n`)
    return exit.usage
  }
  io.out(
    values.json
      ? `${safeJson(wanted)}\n`
      : `${linesOf(wanted, rule === undefined)
          .map(plain)
          .join('\n')}\n`,
  )
  return exit.done
}

const sayAll = (policies: Policies, tenant: string | undefined, io: Io): readonly Said[] | number => {
  const { composition } = policies
  if (tenant !== undefined && tenant !== platformName) {
    const found = tenantOf('say', policies, tenant, io)
    return typeof found === 'number' ? found : sayVersion(found.entry.onDisk)
  }
  const errors = versionErrors(policies, tenant === undefined ? null : new Set([composition?.platform.file ?? '']), io)
  if (composition === null || errors > 0) return exit.findings
  const versions = tenant === undefined ? [...composition.entries.values()].map(entry => entry.onDisk) : []
  return [composition.platform, ...versions].flatMap(sayVersion)
}

const sayVersion = ({ tenant, policy, recognise }: Version): readonly Said[] =>
  policy === null ? [] : sayPolicy(tenant, policy.document, recognise)

const linesOf = (said: readonly Said[], whole: boolean): readonly string[] => [
  ...(whole ? preamble : []),
  ...said.flatMap(({ tenant, effect, rule, text }, i) => [
    ...(whole && said[i - 1]?.tenant !== tenant ? ['', `${tenant}:`] : []),
    rule === null ? `  ${text}` : `  ${effect} ${rule}: ${text}`,
  ]),
]
