import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as diff from '../../../cmd/diff.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'postern-')))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const edit = async (name: string, from: string, to: string): Promise<void> => {
  const text = await readFile(join(dir, name), 'utf8')
  expect(text).toContain(from)
  await writeFile(join(dir, name), text.replace(from, to))
}

const run = async (...args: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await diff.run(args, { out: text => void out.push(text), err: text => void err.push(text) })
  return { code, out: out.join(''), err: err.join('') }
}

describe('postern diff of two folders', () => {
  beforeEach(async () => {
    for (const folder of ['a', 'b']) await cp(own, join(dir, folder), { recursive: true })
  })

  it('finds nothing where nothing is decided otherwise', async () => {
    await edit('b/acme.policy.yaml', 'at most 500 a page', 'five hundred a page')
    expect(await run(`${dir}/a..${dir}/b`)).toEqual({ code: 0, out: 'no request is decided otherwise\n', err: '' })
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'any')).code).toBe(0)
  })

  it('says who gains, and --fail-on makes that exit 1', async () => {
    await edit('b/acme.policy.yaml', '[10.0.0.0/8, 198.51.100.0/24, 2001:db8:ac::/48]', '198.51.100.0/24')
    await edit('b/acme.policy.yaml', 'ip-not-in', 'ip-in')
    const { code, out } = await run(`${dir}/a..${dir}/b`)
    expect(code).toBe(0)
    expect(out).toContain('GAINS: contractors may GET HEAD /v1/invoices, /v1/invoices/* ')
    expect(out).toContain('e.g. carl, 203.0.113.9 (deny by contractors-off-network -> allow by read-invoices)\n')
    expect(out).toMatch(/\n1 tenant not as before: 2 GAINS, 2 LOSES, 0 OBLIGATIONS, 2 ORDER, 0 not proven\n$/)
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')).code).toBe(1)
  })

  it('observe mode is a gain, and hides no other change of the tenant, whatever the clock', async () => {
    for (const at of ['1999-12-01T00:00:00Z', '2030-01-01T00:00:00Z', '2999-01-01T00:00:00Z']) {
      await edit('b/acme.policy.yaml', 'tenant: acme\n', `tenant: acme\nmode: { observe-until: ${at} }\n`)
      const { code, out } = await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')
      expect(out).toContain(
        `OBSERVE: until ${new Date(at).toISOString()}, what the tenant's rules refuse is let pass without a credential\n`,
      )
      expect(code).toBe(1)
      expect((await run(`${dir}/b..${dir}/a`, '--fail-on', 'gains')).code).toBe(0)
      await edit('b/acme.policy.yaml', `mode: { observe-until: ${at} }\n`, '')
    }
    for (const [side, at] of [
      ['a', '2030-01-01T00:00:00Z'],
      ['b', '2030-01-02T00:00:00Z'],
    ] as const)
      await edit(`${side}/acme.policy.yaml`, 'tenant: acme\n', `tenant: acme\nmode: { observe-until: ${at} }\n`)
    await edit('b/acme.policy.yaml', 'ip-not-in', 'ip-in')
    const { code, out } = await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')
    expect([code, out]).toEqual([1, expect.stringMatching(/OBSERVE: until 2030-01-02.*, not 2030-01-01.*\n.*GAINS: contractors/)])
    expect((await run(`${dir}/b..${dir}/a`)).out).toContain('OBSERVE: until 2030-01-01')
  })

  it('what a shadow rule would give is no gain, yet a difference', async () => {
    await edit('b/acme.policy.yaml', 'rules:', 'rules:\n  - { allow: trial, mode: shadow, why: w, who: anyone, to: GET /v1/trial }')
    const { code, out } = await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')
    expect([code, out]).toEqual([0, expect.stringContaining('WOULD GAIN: anyone might GET /v1/trial from any address, e.g. anna')])
    expect(out).toMatch(/\n1 tenant not as before: 0 GAINS, 0 LOSES, 0 OBLIGATIONS, 0 ORDER, 1 WOULD, 0 not proven\n$/)
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'any')).code).toBe(1)
  })

  it('a mere loss is nothing for --fail-on gains', async () => {
    await edit('b/globex.policy.yaml', 'kpmg|4471, kpmg|4502', 'kpmg|4471')
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')).code).toBe(0)
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'any')).code).toBe(1)
    expect((await run(`${dir}/b..${dir}/a`, '--fail-on', 'gains')).code).toBe(1)
  })

  it('reads relative folders, dots and all', async () => {
    const [a, b] = ['a', 'b'].map(folder => `./${relative(process.cwd(), join(dir, folder))}`)
    expect((await run(`${a}..${b}`)).out).toBe('no request is decided otherwise\n')
  })

  it('gives the same as JSON, and as Markdown that nothing in a policy can turn into something else', async () => {
    await edit('b/globex.policy.yaml', 'claims: { region: us }', 'claims: { region: "<b>*us*\\e[2J" }')
    const json = JSON.parse((await run(`${dir}/a..${dir}/b`, '--json')).out)
    expect(json.tenants.map((one: { tenant: string }) => one.tenant)).toEqual(['globex'])
    expect(json.tenants[0].changes[1]).toMatchObject({
      kind: 'LOSES',
      before: { effect: 'allow', by: 'look-up-invoices' },
      places: [{ methods: ['GET', 'HEAD'], path: '/v1/invoices/**' }],
      example: { caller: 'sue', assumed: [] },
    })
    const { out } = await run(`${dir}/b..${dir}/a`, '--format', 'md')
    expect(out).toMatch(/^### globex\n\n- \*\*GAINS:\*\* /)
    expect(out).not.toMatch(/[^\P{Cc}\n]|(?<!\\)<b>/u)
    expect((await run(`${dir}/a..${dir}/b`)).out).not.toMatch(/[^\P{Cc}\n]/u)
  })

  it('a file that does not compile is not compared, which exit 2 says, unless findings make it 1', async () => {
    await edit('b/acme.policy.yaml', 'rules:', 'rule:')
    expect(await run(`${dir}/a..${dir}/b`)).toMatchObject({
      code: 2,
      out: expect.stringContaining('NOT PROVEN: the new acme.policy.yaml is refused'),
    })
    await edit('b/globex.policy.yaml', 'to: GET HEAD /v1/invoices/**\n    then', 'to: GET HEAD POST /v1/invoices/**\n    then')
    expect((await run(`${dir}/a..${dir}/b`)).code).toBe(2)
    expect((await run(`${dir}/a..${dir}/b`, '--fail-on', 'gains')).code).toBe(1)
  })

  it('without a platform file there is nothing to compare', async () => {
    await rm(join(dir, 'b/_platform.policy.yaml'))
    expect(await run(`${dir}/a..${dir}/b`)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('P603') })
  })

  it.each([
    ['no range', []],
    ['two ranges', ['./a../b', './a../b']],
    ['one side only', ['./policies']],
    ['a folder that is not there', ['./policies.../nowhere']],
    ['an unknown format', ['./policies.../policies', '--format', 'html']],
    ['an unknown --fail-on', ['./policies.../policies', '--fail-on', 'loses']],
  ])('%s is refused', async (_, args) => {
    const { code, out, err } = await run(...args)
    expect({ code, out }).toEqual({ code: 64, out: '' })
    expect(err).toMatch(/^postern diff: .*\nTry: postern diff --help\n$/)
  })
})

describe('postern diff of Git revisions', () => {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', dir, '-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'commit.gpgsign=false', ...args], {
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    }).toString()
  const commit = (message: string): void => {
    git('add', '-A')
    git('commit', '-qm', message)
  }
  const at = (): string[] => ['--policies', join(dir, 'deploy/policies')]

  beforeEach(async () => {
    git('init', '-q', '-b', 'main')
    await mkdir(join(dir, 'deploy'))
    await cp(own, join(dir, 'deploy/policies'), { recursive: true })
    commit('first')
    git('tag', 'v1')
    await edit(
      'deploy/policies/acme.policy.yaml',
      'when: { ip-not-in: [10.0.0.0/8, 198.51.100.0/24, 2001:db8:ac::/48] }',
      'when: { ip-in: 192.0.2.1 }',
    )
    commit('second')
  })

  it('compares commits, branches and tags', async () => {
    for (const range of ['v1..main', 'HEAD~1..HEAD', `${git('rev-parse', 'v1').trim()}..main`]) {
      const { code, out, err } = await run(range, ...at())
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toContain('GAINS: contractors may GET HEAD /v1/invoices, /v1/invoices/* ')
    }
    expect((await run('v1..v1', ...at())).out).toBe('no request is decided otherwise\n')
  })

  it('compares with the folder as it is now, committed or not', async () => {
    expect((await run('main..', ...at())).out).toBe('no request is decided otherwise\n')
    await edit('deploy/policies/globex.policy.yaml', 'kpmg|4471, kpmg|4502', 'kpmg|4471')
    expect((await run('main..', ...at())).out).toContain('LOSES: readers')
    expect((await run(`v1..${dir}/deploy/policies`, ...at())).out).toContain('LOSES: readers')
  })

  it('reads the folder as it was in the revision, also where it is elsewhere or gone today', async () => {
    await rename(join(dir, 'deploy/policies'), join(dir, 'rules'))
    commit('moved')
    expect((await run('v1..HEAD~1', ...at())).out).toContain('GAINS')
    expect(await run('v1..HEAD', ...at())).toMatchObject({
      code: 64,
      err: expect.stringContaining('there is no folder deploy/policies in it'),
    })
  })

  it('refuses what git does not know, and hands it nothing that could be an option', async () => {
    const made = join(dir, 'made')
    for (const range of ['nope..main', 'main..nope', `--output=${made}..main`, '--help..main', '-h..main', 'main:deploy..main']) {
      const { code, out, err } = await run('--policies', join(dir, 'deploy/policies'), '--', range)
      expect({ range, code, out }).toEqual({ range, code: 64, out: '' })
      expect(err).toContain('is not OLD..NEW of commits that git knows here')
    }
    expect(existsSync(made)).toBe(false)
  })

  it('says how a folder is written that stands in the place of a commit', async () => {
    for (const range of ['src..', 'HEAD..src'])
      expect(await run('--policies', join(dir, 'deploy/policies'), '--', range)).toMatchObject({
        code: 64,
        err: expect.stringContaining('"src" is a folder here and no commit: write ./src'),
      })
  })

  it('fetches nothing that a partial clone lacks: neither a network nor a command of its configuration is waited for', async () => {
    execFileSync('git', ['config', 'uploadpack.allowFilter', 'true'], { cwd: dir })
    const clone = join(dir, 'clone')
    execFileSync('git', ['clone', '--quiet', '--no-checkout', '--filter=blob:none', `file://${dir}`, clone])
    execFileSync('git', ['config', 'remote.origin.uploadpack', `touch ${join(dir, 'ran')}; git-upload-pack`], { cwd: clone })
    expect(await run('origin/main~1..origin/main', '--policies', join(clone, 'deploy/policies'))).toMatchObject({
      code: 64,
      err: expect.stringContaining('is a partial one and lacks files of that revision; nothing is fetched here'),
    })
    expect(existsSync(join(dir, 'ran'))).toBe(false)
  })

  it('follows no links that a revision holds', async () => {
    await symlink('/etc/passwd', join(dir, 'deploy/policies/evil.policy.yaml'))
    commit('link')
    expect(await run('v1..HEAD', ...at())).toMatchObject({ code: 64, err: expect.stringContaining('evil.policy.yaml is a link') })
  })

  it('reads names with blanks and folders, and passes over what is no policy', async () => {
    await mkdir(join(dir, 'deploy/policies/more of it/..hidden'), { recursive: true })
    await writeFile(join(dir, 'deploy/policies/more of it/notes.txt'), 'x')
    await writeFile(join(dir, 'deploy/policies/more of it/..hidden/acme.policy.yaml'), 'x')
    await rename(join(dir, 'deploy/policies/globex.policy.yaml'), join(dir, 'deploy/policies/more of it/globex.policy.yaml'))
    await rename(join(dir, 'deploy/policies/globex.policy-test.yaml'), join(dir, 'deploy/policies/more of it/globex.policy-test.yaml'))
    commit('moved')
    expect(await run('HEAD~1..HEAD', ...at())).toMatchObject({ code: 0, out: 'no request is decided otherwise\n' })
  })

  it('says so where there is no repository, and where git is not installed', async () => {
    expect(await run('main..main', '--policies', '/')).toMatchObject({ code: 64, err: expect.stringMatching(/not a git repository/) })
    const path = process.env['PATH']
    process.env['PATH'] = join(dir, 'empty')
    try {
      expect(await run('v1..main', ...at())).toMatchObject({ code: 64, err: expect.stringContaining('git is not installed') })
    } finally {
      process.env['PATH'] = path
    }
  })
})
