import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

export const cassandraVersion = '5.0.8'

export interface Toolchain {
  readonly java: string
  readonly mvn: string
  /** JAVA_HOME of that java. */
  readonly home: string
  /** Where the jars are kept between runs. */
  readonly cache: string
  /** Environment of every process started here. */
  readonly env: NodeJS.ProcessEnv
}

const run = promisify(execFile)
const neededJava = 17

/** Cassandra 5.0 runs on Java 17 only (24 and later removed what it needs), so another version is as good as none, and is named. */
export const findToolchain = async (env: NodeJS.ProcessEnv): Promise<Toolchain | { readonly missing: string }> => {
  const java = env['JAVA_HOME'] ? join(env['JAVA_HOME'], 'bin', 'java') : await onPath('java', env)
  if (java === null) return { missing: `JDK ${neededJava} (no java on PATH)` }
  const said = await run(java, ['-XshowSettings:properties', '-version'], { env, timeout: 20_000 }).catch(() => null)
  if (said === null) return { missing: `JDK ${neededJava} (${java} does not run)` }
  const property = (name: string): string => new RegExp(`^\\s*${name} = (.*)$`, 'm').exec(said.stderr)?.[1]?.trim() ?? ''
  const major = property('java\\.specification\\.version')
  if (major !== String(neededJava)) return { missing: `JDK ${neededJava} (${java} is Java ${major || 'of an unknown version'})` }
  const mvn = await onPath('mvn', env)
  if (mvn === null) return { missing: 'Maven (no mvn on PATH)' }
  return { java, mvn, home: property('java\\.home'), cache: cacheFolder(env), env }
}

const cacheFolder = (env: NodeJS.ProcessEnv): string =>
  join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'postern', `cassandra-${cassandraVersion}`)

export const onPath = async (name: string, env: NodeJS.ProcessEnv): Promise<string | null> => {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter(folder => folder.startsWith('/'))) {
    const candidate = join(folder, name)
    if (
      await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return candidate
  }
  return null
}
