import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import { exit, type Io } from './io.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern drain [--config proxy.config.yaml] [--state DIR] [--json]

Prepares the running process for its end: /readyz turns 503, replies ask clients to reconnect elsewhere, requests are still served. Returns when
no request has come for 3 s, or after limits.drain-deadline. For a Kubernetes preStop hook: exec: [node, postern.mjs, drain].
Exit: 0 drained, 3 the deadline passed with requests under way.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({
    args,
    options: processOptions,
  })
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const answer = (await askControl(state, 'drain', {}, 11 * 60_000)) as { readonly quiet: boolean; readonly inFlight: number }
  io.out(
    values.json
      ? `${JSON.stringify(answer)}\n`
      : answer.quiet
        ? 'drained\n'
        : `the deadline passed: ${answer.inFlight} requests still under way, or new ones still coming\n`,
  )
  return answer.quiet ? exit.done : exit.partly
}
