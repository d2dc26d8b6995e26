import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findToolchain } from '../../../deploy/demo/toolchain.ts'

describe('the toolchain of the demo cluster', () => {
  let folder: string
  const script = async (path: string, says: string): Promise<void> => {
    await mkdir(join(folder, path, '..'), { recursive: true })
    await writeFile(join(folder, path), `#!/bin/sh\nprintf '${says}' >&2\n`)
    await chmod(join(folder, path), 0o755)
  }
  const java = (major: string): string => `    java.home = /jdk\\n    java.specification.version = ${major}\\n`

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-toolchain-'))
    await script('jdk17/bin/java', java('17'))
    await script('jdk21/bin/java', java('21'))
    await script('maven/mvn', '')
  })
  afterAll(() => rm(folder, { recursive: true }))

  const find = (path: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    findToolchain({ PATH: path.map(part => join(folder, part)).join(':'), HOME: '/home/x', ...env })

  it('is Java 17 and Maven on PATH', async () => {
    expect(await find(['jdk17/bin', 'maven'])).toMatchObject({
      java: join(folder, 'jdk17/bin/java'),
      mvn: join(folder, 'maven/mvn'),
      home: '/jdk',
      cache: '/home/x/.cache/postern/cassandra-5.0.8',
    })
  })

  it('prefers JAVA_HOME, and takes another version there for none', async () => {
    expect(await find(['jdk21/bin', 'maven'], { JAVA_HOME: join(folder, 'jdk17') })).toHaveProperty('java')
    expect(await find(['jdk17/bin', 'maven'], { JAVA_HOME: join(folder, 'jdk21') })).toEqual({
      missing: `JDK 17 (${folder}/jdk21/bin/java is Java 21)`,
    })
    expect(await find(['jdk17/bin', 'maven'], { JAVA_HOME: '/nowhere' })).toEqual({ missing: 'JDK 17 (/nowhere/bin/java does not run)' })
  })

  it('is missing by name', async () => {
    expect(await find(['maven'])).toEqual({ missing: 'JDK 17 (no java on PATH)' })
    expect(await find(['jdk17/bin'])).toEqual({ missing: 'Maven (no mvn on PATH)' })
    expect(await find(['jdk17/bin', 'maven'], { XDG_CACHE_HOME: '/c' })).toMatchObject({ cache: '/c/postern/cassandra-5.0.8' })
  })
})
