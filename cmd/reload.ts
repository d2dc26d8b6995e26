import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import { type Finding, formatFinding } from '../src/model/finding.ts'
import { exit, type Io } from './io.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern reload [--without-tests --why TEXT] [--config proxy.config.yaml] [--state DIR] [--json]

Makes the running process read its configuration and policies again, now. What is broken on disk changes nothing; the answer says so.
  --without-tests   a policy comes into force although its tests fail: for a hot fix behind a stale test; recorded with --why
  --why TEXT        the reason, for the audit
  --config FILE     configuration of the process (default proxy.config.yaml)
  --state DIR       the state folder itself
Exit: 0 everything on disk is in force, 1 something was refused.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({
    args,
    options: {
      ...processOptions,
      'without-tests': { type: 'boolean', default: false },
      why: { type: 'string' },
    },
  })
  if (values['without-tests'] && !values.why) {
    io.err('postern reload: --without-tests needs --why TEXT: the reason goes into the audit.\n')
    return exit.usage
  }
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const answer = (await askControl(state, 'reload', { withoutTests: values['without-tests'], why: values.why ?? '' }, 60_000)) as Answer
  if (values.json) io.out(`${JSON.stringify(answer)}\n`)
  else print(answer, io)
  if (values['without-tests'] && answer.changed && !values.json)
    io.err('a restart runs the tests again and would not serve a tenant whose tests fail: mend them before\n')
  return answer.refused ? exit.findings : exit.done
}

interface Answer {
  readonly changed: boolean
  readonly refused: boolean
  readonly digest: string
  readonly restart: readonly string[]
  readonly findings: readonly Finding[]
}

const print = (answer: Answer, io: Io): void => {
  for (const finding of answer.findings) io.err(`${formatFinding(finding)}\n`)
  io.out(
    answer.changed
      ? `in force: ${answer.digest}\n`
      : answer.refused
        ? 'nothing changed\n'
        : 'nothing to change: what is on disk is in force\n',
  )
  if (answer.restart.length > 0) io.out(`waits for a restart: ${answer.restart.join(', ')}\n`)
}
