import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { loadConfig } from '../src/load.ts'
import { printFindings } from './findings.ts'
import type { Io } from './io.ts'

/** `$XDG_STATE_HOME/postern`, the default of `state:`. */
export const defaultState = (env: NodeJS.ProcessEnv): string => join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'postern')

/** The state folder of the process that runs with this configuration, or null after saying what is wrong. */
export const stateFolder = async (
  options: { readonly config: string; readonly state: string | undefined },
  io: Io,
): Promise<string | null> => {
  if (options.state !== undefined) return resolve(options.state)
  const loaded = await loadConfig(options.config)
  if (!('config' in loaded)) {
    printFindings(loaded, io)
    io.err('The state folder stands in the configuration; --state DIR names it directly.\n')
    return null
  }
  const { state } = loaded.config
  return state === null ? defaultState(process.env) : resolve(dirname(resolve(options.config)), state)
}
