import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { entryOf } from '../src/config/shape.ts'
import { readConfigFile } from '../src/load.ts'
import { printFindings } from './findings.ts'
import type { Io } from './io.ts'

/** `$XDG_STATE_HOME/postern`, the default of `state:`. */
export const defaultState = (env: NodeJS.ProcessEnv): string => join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'postern')

/** Of every command that asks a running process. */
export const processOptions = {
  config: { type: 'string', default: 'proxy.config.yaml' },
  state: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/**
 * The state folder of the process that runs with this configuration, or null after saying what is wrong. Only `state:` is looked at: a process
 * that serves on with its last good version must be reachable while the file on disk is broken.
 */
export const stateFolder = async (
  options: { readonly config: string; readonly state?: string | undefined },
  io: Io,
): Promise<string | null> => {
  if (options.state !== undefined) return resolve(options.state)
  const read = await readConfigFile(options.config)
  if ('source' in read && read.source.root?.kind === 'map') {
    const written = entryOf(read.source.root, 'state')?.value
    if (written === undefined) return defaultState(process.env)
    if (written.kind === 'scalar' && typeof written.value === 'string') return resolve(dirname(resolve(options.config)), written.value)
  }
  printFindings('source' in read ? read.source.findings : read, io)
  io.err('The state folder stands in the configuration; --state DIR names it directly.\n')
  return null
}
