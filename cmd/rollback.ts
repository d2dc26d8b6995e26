import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import { exit, type Io } from './io.ts'
import { plain } from './policies.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern rollback TENANT [--why TEXT] [--config proxy.config.yaml] [--state DIR] [--json]

Makes the running process enforce the version of one tenant's policy that was in force before the present one, if it still fits the others. One
such version is kept for each tenant, in memory. It stays in force until the tenant's file changes to something new; a restart reads the files
again, so revert the file too.
  --why TEXT        the reason, for the audit
  --config FILE     configuration of the process (default proxy.config.yaml)
  --state DIR       the state folder itself
Exit: 0 rolled back, 1 nothing was changed, and why.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...processOptions,
      why: { type: 'string' },
    },
  })
  const [tenant, ...more] = positionals
  if (tenant === undefined || more.length > 0) {
    io.err('postern rollback: name one tenant: postern rollback acme --why "SEC-2210".\n')
    return exit.usage
  }
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const answer = (await askControl(state, 'rollback', { tenant, why: values.why ?? '' }, 60_000)) as Answer
  if (values.json) io.out(`${JSON.stringify(answer)}\n`)
  else if ('digest' in answer) print(answer, io)
  else io.err(`postern rollback: ${plain(answer.problem ?? answer.error ?? 'no answer')}\n`)
  return 'digest' in answer ? exit.done : exit.findings
}

type Answer =
  | { readonly tenant: string; readonly digest: string; readonly from: string | null }
  | { readonly problem?: string; readonly error?: string }

const print = ({ tenant, digest, from }: Extract<Answer, { readonly tenant: string }>, io: Io): void => {
  io.out(`${tenant}: in force: ${digest}${from === null ? '' : `, instead of ${from}`}\n`)
  io.err(
    `This process only, until ${tenant}.policy.yaml changes to something new. A restart reads the files again: revert the file too, and roll back each replica.\n`,
  )
}
