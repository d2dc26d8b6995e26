import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { platformPolicy, tenantPolicy } from '../support/postern.ts'

const root = join(import.meta.dirname, '../..')
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-bundle-'))
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'cmd/build.mjs'), join(dir, 'dist')], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const run = (...args: string[]) => spawnSync(process.execPath, [join(dir, 'dist/postern.mjs'), ...args], { cwd: dir, encoding: 'utf8' })

describe('the shipped form, away from the sources', () => {
  it('parses large policies with its threads', async () => {
    const rules = Array.from({ length: 1500 }, (_, i) => `  - { allow: r${i}, why: Staff read., who: staff, to: GET /v1/x${i} }`).join('\n')
    await mkdir(join(dir, 'policies'))
    await writeFile(join(dir, 'policies/_platform.policy.yaml'), platformPolicy)
    await writeFile(join(dir, 'policies/acme.policy.yaml'), tenantPolicy('acme', 'https://login.example/', rules))
    const { status, stdout, stderr } = run('check')
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/acme: 1500 rules/)
    await writeFile(join(dir, 'policies/acme.policy.yaml'), `${tenantPolicy('acme', 'https://login.example/', rules)}surprise: 1\n`)
    const broken = run('check')
    expect(broken.status).toBe(1)
    expect(broken.stdout).toMatch(/^acme\.policy\.yaml:\d+:1 error P201 "surprise" is not a key here/m)
  })
})
