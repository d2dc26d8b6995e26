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
  const answer = (await askControl(state, 'status', {}, 5_000)) as object
  io.out(values.json ? `${JSON.stringify(answer)}\n` : `${statusLines(answer).join('\n')}\n`)
  return exit.done
}

const instants = new Set(['time', 'notAfter', 'nextAt'])

const scalar = (key: string, value: unknown): string => {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  return instants.has(key) && typeof value === 'number' ? new Date(value).toISOString() : String(value)
}

/** The answer for people: JSON without its marks, and moments as in every other command. */
export const statusLines = (answer: object, prefix = ''): string[] =>
  Object.entries(answer).flatMap(([key, inner]: [string, unknown]) => {
    const name = `${prefix}${Array.isArray(answer) ? '-' : `${key}:`}`
    const flat =
      typeof inner !== 'object' ||
      inner === null ||
      Object.keys(inner).length === 0 ||
      (Array.isArray(inner) && inner.every(item => typeof item !== 'object'))
    return flat ? [`${name} ${scalar(key, inner)}`.trimEnd()] : [name, ...statusLines(inner, `${prefix}  `)]
  })
