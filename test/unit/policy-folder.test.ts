import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { readPolicyFolder } from '../../src/policy-folder.ts'

const made: string[] = []
const folder = async (files: Record<string, string>): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'policies-'))
  made.push(dir)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  return dir
}
afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true })
})

const read = async (dir: string): Promise<{ files: string[]; findings: string[] } | string> => {
  const result = await readPolicyFolder(dir)
  if ('error' in result) return `${result.error.code} ${result.error.message}`
  return {
    files: result.files.map(file => `${file.name}=${file.bytes}`),
    findings: result.findings.map(finding => `${finding.file} ${finding.code}`),
  }
}

describe('the policies folder', () => {
  it('is read at any depth, in order of name; other names are ignored and .yml is refused', async () => {
    const dir = await folder({
      'b.policy.yaml': 'b',
      'eu/it/a.policy.yaml': 'a',
      'eu/it/a.policy-test.yaml': 't',
      'README.md': 'x',
      'eu/notes.yaml': 'x',
      'c.policy.yml': 'x',
      'c.policy-test.yml': 'x',
      '..old/d.policy.yaml': 'x',
    })
    expect(await read(dir)).toEqual({
      files: ['b.policy.yaml=b', 'eu/it/a.policy-test.yaml=t', 'eu/it/a.policy.yaml=a'],
      findings: expect.arrayContaining(['c.policy.yml P109', 'c.policy-test.yml P109']),
    })
  })

  it('follows what Kubernetes mounts, and sees one set of files before a swap and the other after it', async () => {
    const dir = await folder({
      '..1/a.policy.yaml': 'old',
      '..1/eu/b.policy.yaml': 'old',
      '..2/a.policy.yaml': 'new',
      '..2/eu/b.policy.yaml': 'new',
    })
    await symlink('..1', join(dir, '..data'))
    await symlink('..data/a.policy.yaml', join(dir, 'a.policy.yaml'))
    await symlink('..data/eu', join(dir, 'eu'))
    expect(await read(dir)).toEqual({ files: ['a.policy.yaml=old', 'eu/b.policy.yaml=old'], findings: [] })
    await symlink('..2', join(dir, '..next'))
    await rename(join(dir, '..next'), join(dir, '..data'))
    expect(await read(dir)).toEqual({ files: ['a.policy.yaml=new', 'eu/b.policy.yaml=new'], findings: [] })
  })

  it('ends at a link that leads back up', async () => {
    const dir = await folder({ 'eu/a.policy.yaml': 'a' })
    await symlink('..', join(dir, 'eu', 'up'))
    expect(await read(dir)).toEqual({ files: ['eu/a.policy.yaml=a'], findings: [] })
  })

  it('is read wholly or not at all: a policy that cannot be read would look like a tenant that was removed', async () => {
    const dir = await folder({ 'a.policy.yaml': 'a' })
    await symlink('nowhere', join(dir, 'b.policy.yaml'))
    expect(await read(dir)).toMatch(/^P100 .*ENOENT at .*b\.policy\.yaml/)
    await rm(join(dir, 'b.policy.yaml'))
    await symlink('nowhere', join(dir, 'other'))
    expect(await read(dir)).toEqual({ files: ['a.policy.yaml=a'], findings: [] })
  })

  it('that is not there is an error that says what to give', async () => {
    expect(await read(join(tmpdir(), 'no-such-policies'))).toMatch(/^P100 .*\(ENOENT\)\. Give a folder/)
  })

  it('gives one byte more than the reader accepts, not the whole of a huge file', async () => {
    const dir = await folder({ 'a.policy.yaml': 'x'.repeat(3 * 1024 * 1024) })
    const result = await readPolicyFolder(dir)
    expect('files' in result && result.files[0]?.bytes.length).toBe(2 * 1024 * 1024 + 1)
  })
})
