import { dirname, resolve } from 'node:path'
import { rolesOf } from '../src/credential-source.ts'
import { readConfigFile } from '../src/load.ts'
import type { Config } from '../src/settings.ts'
import type { CassandraSettings } from '../src/store/settings.ts'
import { printFindings } from './findings.ts'
import { exit, type Io } from './io.ts'
import { loadPolicies } from './policies.ts'

/** What a configuration says about the cluster, without the secrets that only a running Postern needs. */
export interface Target {
  readonly config: Config
  readonly cassandra: CassandraSettings
  /** Folder that the configuration's paths are relative to. */
  readonly base: string
}

/** Reads the configuration, or says what is wrong with it and gives the exit code. */
export const readTarget = async (command: string, file: string, io: Io): Promise<Target | number> => {
  const read = await readConfigFile(file)
  if (!('config' in read) || read.config === null) {
    printFindings('config' in read ? read.source.findings : read, io)
    return exit.usage
  }
  const { cassandra } = read.config
  if (cassandra === null) {
    io.err(`postern ${command}: ${file} has no cassandra: section. It says where the cluster is, and who Postern is there.\n`)
    return exit.usage
  }
  return { config: read.config, cassandra, base: dirname(resolve(file)) }
}

/** Every role for which credentials are made by this configuration, or the exit code after saying why that is not known. */
export const readRoles = async (command: string, { config, base }: Target, file: string, io: Io): Promise<readonly string[] | number> => {
  const policies = await loadPolicies(command, { dir: resolve(base, config.policies.dir), config: file, names: [] }, io)
  if (typeof policies === 'number') return policies
  if (policies.composition === null) {
    printFindings(policies.findings, io)
    return exit.usage
  }
  return rolesOf(config, policies.composition.engine.roles)
}
