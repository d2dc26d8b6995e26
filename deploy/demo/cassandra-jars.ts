import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cassandraVersion, type Toolchain } from './toolchain.ts'

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>postern</groupId><artifactId>cassandra</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>${cassandraVersion}</version>
  </dependency></dependencies>
</project>
`

/** Absolute paths of the jars in sorted order; fetched by Maven when they are not there yet. */
export const fetchJars = async (toolchain: Toolchain, progress: (line: string) => void): Promise<readonly string[]> => {
  const lib = join(toolchain.cache, 'lib')
  if ((await jarsIn(lib)).length === 0) await fetchInto(lib, toolchain, progress)
  const jars = await jarsIn(lib)
  if (!jars.some(jar => jar.includes('cassandra-all-'))) throw new Error(`${lib} holds no Cassandra. Remove the folder and start again.`)
  return jars
}

const jarsIn = async (lib: string): Promise<readonly string[]> => {
  const names = await readdir(lib).catch(() => [])
  return names
    .filter(name => name.endsWith('.jar'))
    .sort()
    .map(name => join(lib, name))
}

/** Two first starts may run at once, and either may be interrupted: each fetches into a folder of its own, and the first rename wins. */
const fetchInto = async (lib: string, toolchain: Toolchain, progress: (line: string) => void): Promise<void> => {
  await mkdir(toolchain.cache, { recursive: true })
  const temporary = await mkdtemp(join(toolchain.cache, 'fetch-'))
  try {
    progress(`Fetching Apache Cassandra ${cassandraVersion} from Maven Central, once (67 MB, about half a minute) ...`)
    await writeFile(join(temporary, 'pom.xml'), pom)
    await runMaven(toolchain, temporary)
    await rename(join(temporary, 'lib'), lib).catch(async error => {
      if ((await jarsIn(lib)).length === 0) throw error
    })
    progress(`Cassandra is cached in ${lib}.`)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

const runMaven = async (toolchain: Toolchain, folder: string): Promise<void> => {
  const words = ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${join(folder, 'lib')}`, '-DincludeScope=runtime']
  const child = spawn(toolchain.mvn, words, {
    cwd: folder,
    env: { ...toolchain.env, JAVA_HOME: toolchain.home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const tail: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => tail.push(text))
  const code = await exitOf(child, 600_000)
  if (code !== 0) throw new Error(`Maven could not fetch Cassandra (exit ${code}):\n${tail.join('').split('\n').slice(-15).join('\n')}`)
}

/** Exit code, or the signal's name; a child that takes longer than the deadline is killed. */
export const exitOf = async (child: ReturnType<typeof spawn>, deadline: number): Promise<number | string> => {
  const { promise, resolve, reject } = Promise.withResolvers<number | string>()
  child.once('error', reject).once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  const timer = setTimeout(() => child.kill('SIGKILL'), deadline)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}
