import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import { exit, type Io } from './io.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern status [--config proxy.config.yaml] [--state DIR] [--json]

Asks the running process: what it enforces and what is on disk, tenants, issuers, credentials, audit, requests under way.
  --config FILE   configuration of the process (default proxy.config.yaml): its "state:" says where the control socket is
  --state DIR     the state folder itself
  --json          the whole answer as JSON
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({
    args,
    options: processOptions,
  })
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const answer = await askControl(state, 'status', {}, 5_000)
  io.out(values.json ? `${JSON.stringify(answer)}\n` : `${lines(answer, '').join('\n')}\n`)
  return exit.done
}

const lines = (value: unknown, prefix: string): string[] => {
  if (Array.isArray(value) && value.every(item => typeof item !== 'object')) return [`${prefix.trimEnd()} ${value.join(', ')}`]
  if (typeof value !== 'object' || value === null) return [`${prefix.trimEnd()} ${String(value)}`]
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0
      ? [`${prefix}${Array.isArray(value) ? '-' : `${key}:`}`, ...lines(inner, `${prefix}  `)]
      : [`${prefix}${key}: ${Array.isArray(inner) ? 'none' : String(inner)}`],
  )
}
