import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type Door, openDoor } from '../support/door.ts'
import { startFrom, writeInstallation } from '../support/postern.ts'

/**
 * Rows T1 to T10 of the published advisories: policy saw one path or host, the backend served another. One tenant allows all but what it
 * denies, which forgives nothing: whatever a deny does not recognise reaches the backend.
 */
const policy = (issuer: string, tenant: string): string => `postern: policy/v1
tenant: ${tenant}
owners: [o@example.com]
recognise: { host: ${tenant}.test, issuer: "${issuer}", audience: postern-demo, claims: { tenant: ${tenant} } }
claims: { groups: list<string> }
who: { staff: { groups: [staff] }, dotted: { groups: ["a.c"] }, ticked: { groups: ["\`a||1\`"] } }
rules:
  - { deny: private, why: Private., who: anyone, to: [ANY /v1/admin, ANY /v1/admin/**, ANY /v1/%C3%A9t%C3%A9/**] }
  - { deny: literal, why: A dot is a dot., who: staff, to: [ANY /v1/a.b, ANY /v1/a+c] }
  - { deny: by-name, why: Named., who: [dotted, ticked], to: ANY /v1/named }
  - deny: by-pattern
    why: Some names.
    who: anyone
    to: ANY /v1/pattern
    when: { check: "re(subject, '(a+)+b')" }
  - { allow: all, why: All., who: anyone, to: ANY /v1/** }
`
const policies = (issuer: string) => ({ 'acme.policy.yaml': policy(issuer, 'acme'), 'globex.policy.yaml': policy(issuer, 'globex') })

let door: Door
beforeAll(async () => {
  door = await openDoor({ policies })
})
afterAll(() => door.stop())
beforeEach(() => {
  door.backend.seen.length = 0
})

const statusOf = (reply: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(reply)?.[1])
const paths = (): string[] => door.backend.seen.map(({ url }) => url)

/** Every path that some backend makes of one: decoded never, once or twice, separators folded, parameters cut, dots resolved, case folded. */
const readings = (url: string): string[] => {
  const decoded = (text: string): string => decodeURIComponent(text.replace(/%(?![0-9A-Fa-f]{2})/g, '%25'))
  const [path = ''] = url.split(/[?#]/, 1)
  return [path, decoded(path), decoded(decoded(path))].map(text => {
    const done: string[] = []
    for (const segment of text.replaceAll('\\', '/').split('/')) {
      const bare = segment.split(';', 1)[0] ?? ''
      if (bare === '..') done.pop()
      else if (bare !== '' && bare !== '.') done.push(bare)
    }
    return `/${done.join('/')}`.toLowerCase()
  })
}

/** Each is answered so, and not one reaches the backend. */
const refused = async (targets: readonly string[], status: number): Promise<void> => {
  door.backend.seen.length = 0
  const found: string[] = []
  for (const target of targets) {
    const got = statusOf(await door.raw(target))
    if (got !== status) found.push(`${target}: ${got}`)
  }
  expect(found).toEqual([])
  expect(paths()).toEqual([])
}

describe('a deny is not walked around', () => {
  it('T1: by dot segments, in any escape, mixed or encoded twice', async () => {
    await refused(
      [
        '/v1/public/../admin/secrets',
        '/v1/public/%2e%2e/admin/secrets',
        '/v1/public/.%2E/admin/secrets',
        '/v1/public/%252e%252e/admin/secrets',
        '/v1/public/%25%32%65%25%32%65/admin',
        '/v1/public/..%2fadmin/secrets',
        '/v1/./admin/secrets',
        '/v1/%2e/admin',
        '/v1/admin/..',
        '/../v1/admin',
        '/v1/x/..;/admin',
        '/v1/%c0%ae%c0%ae/admin',
        '/v1/x/%2e%2e%2fadmin',
      ],
      400,
    )
  })

  it('T2: by a query that looks like the path of an allow', async () => {
    await refused(['/v1/admin?x=/v1/public', '/v1/admin/?/v1/public/../x', '/v1/admin/x?/../../public', '/v1/admin??/v1/public'], 403)
  })

  it('T3: by a fragment, raw or escaped', async () => {
    await refused(['/v1/admin#/public', '/v1/public#/../admin', '/v1/public?a#/admin'], 400)
    await refused(['/v1/admin/%23/public', '/v1/admin/%23'], 403)
    // An escaped # is a character like any other, and stays escaped.
    expect(statusOf(await door.raw('/v1/admin%23/public'))).toBe(200)
    expect(paths()).toEqual(['/v1/admin%23/public'])
  })

  it('T4: by any form of a slash', async () => {
    await refused(
      [
        '//v1/admin',
        '/v1//admin',
        '/v1///admin',
        '/v1/admin//x',
        '/v1%2Fadmin',
        '/v1%2fadmin',
        '/v1/x%2f..%2fadmin',
        '/v1\\admin',
        '/v1%5Cadmin',
        '/v1%5cadmin',
        '/v1/%255cadmin',
        '/v1%252fadmin',
        '/v1/;/admin',
        '/v1/admin;x=1',
        '/v1/admin%3bx',
      ],
      400,
    )
  })

  it('T5: by a path that a URL parser takes for a host', async () => {
    await refused(['//evil.test/v1/x', '//v1/admin/x', '///v1/admin', '/\\evil.test/v1/admin', '\\\\evil.test/v1/x'], 400)
    await refused(['http:///v1/x', 'http:/v1/x', 'http://acme.test//v1/admin', 'acme.test/v1/x', '?/v1/x', 'javascript:/v1/x'], 400)
  })

  it('T5: for no path of a request goes through a parser that repairs: only configuration and providers have URLs', () => {
    const root = resolve(import.meta.dirname, '../../src')
    const files = ['edge', 'model', 'policy/engine', 'limits', '.'].flatMap(folder =>
      readdirSync(join(root, folder), { withFileTypes: true })
        .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
        .map(entry => join(folder, entry.name)),
    )
    expect(files).toContain('edge/head.ts')
    const parsing = files.filter(file => /new URL\(|URL\.(canParse|parse)\(/.test(readFileSync(join(root, file), 'utf8')))
    // Calls to providers, the file of a thread, and what the configuration says of public URLs.
    const others = ['fetch.ts', 'tunnel.ts', 'parsers.ts', 'edge/resource-metadata.ts']
    expect(parsing.filter(file => !others.includes(file))).toEqual([])
  })

  it('T6: what is matched, logged and forwarded is one spelling, byte for byte, and the query is not touched', async () => {
    const spellings: readonly [string, string][] = [
      ['/v1/%61bc', '/v1/abc'],
      ['/v1/%7euser', '/v1/~user'],
      ['/v1/caf%c3%a9', '/v1/caf%C3%A9'],
      ['/v1/a%20b', '/v1/a%20b'],
      ['/v1/a+b', '/v1/a+b'],
      ['/v1/%40me', '/v1/%40me'],
      ['/v1/100%25', '/v1/100%25'],
      ['/v1/x?a=%2f%2F&b=%2e%2e&&c=+', '/v1/x?a=%2f%2F&b=%2e%2e&&c=+'],
    ]
    for (const [sent, canonical] of spellings) {
      expect(statusOf(await door.raw(sent))).toBe(200)
      expect(paths().at(-1)).toBe(canonical)
      const [path] = canonical.split('?', 1)
      await expect.poll(() => door.postern.records().at(-1), { timeout: 5_000 }).toMatchObject({ request: { path }, code: 'PST2001' })
    }
    // An escape more or less, or in the other case, is no other path to the deny either.
    await refused(['/v1/%61dmin', '/v1/%61%64%6d%69%6E/x', '/v1/%c3%a9t%C3%A9/x', '/%76%31/admin'], 403)
  })

  it('T7: by a prefix that is removed after the decision: what is decided is what is sent', async () => {
    const own = await openDoor({
      policies,
      sections: () => ({ gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret], strip-prefix: /prod }' }),
    })
    onTestFinished(() => own.stop())
    const outcome = async (target: string) => [statusOf(await own.raw(target)), own.backend.seen.splice(0).map(({ url }) => url)]
    expect(await outcome('/prod/v1/x')).toEqual([200, ['/v1/x']])
    await expect.poll(() => own.postern.records().at(-1), { timeout: 5_000 }).toMatchObject({ request: { path: '/v1/x' } })
    for (const target of ['/prod/v1/admin', '/%70rod/v1/admin', '/prod/v1/%61dmin/x']) expect(await outcome(target)).toEqual([403, []])
    for (const target of ['/prod%2fv1/admin', '/prod/../v1/admin', '/prod//v1/admin', '/prod/v1/..;/admin', '/prod/%2e%2e/prod/v1/admin'])
      expect(await outcome(target)).toEqual([400, []])
    // Removed once, on a border, and never where it does not stand in front.
    for (const target of ['/prodv1/x', '/prod/v1x', '/prod/prod/v1/x', '/v1/prod/x', '/v1/x', '/v1/admin', '/PROD/v1/x', '/prod'])
      expect(await outcome(target), target).toEqual([404, []])
  })

  it('T8: by another case, an escape beside it, or a letter that folds to another', async () => {
    const folding = [
      '/v1/ADMIN/x',
      '/v1/%41dmin/x',
      '/v1/aDmin%5f',
      '/v1/adm%C4%B1n',
      '/v1/adm%C4%B0n',
      '/v1/%EF%BC%81dmin',
      '/v1/ADM%E2%84%AA',
    ]
    for (const target of folding) {
      const status = statusOf(await door.raw(target))
      // Another path to policy and to the backend alike; the backend is told to compare as policy does.
      expect([status, paths().at(-1)]).toEqual([200, target.replaceAll('%41', 'A').replace('%5f', '_')])
    }
    // A composed letter and its decomposed spelling are two paths; neither reads as the other anywhere on the way.
    await refused(['/v1/%C3%A9t%C3%A9/x', '/v1/%c3%a9t%c3%a9/%2D'], 403)
    await refused(['/v1/admin%5c', '/v1/ADMIN%5cx', '/v1/%5c%61dmin'], 400)
  })

  it('T8: on a backend that compares without case: a configuration that has one is refused, not guessed', async () => {
    const upstreams = `upstreams: { api: { url: "http://127.0.0.1:${door.backend.port}", paths: case-insensitive } }`
    const started = await startFrom(await writeInstallation({ issuer: door.issuer, upstreamPort: 1, sections: { upstreams } }))
    expect('app' in started ? 'started' : started.map(({ message }) => message).join()).toContain('case-insensitive')
  })

  it('T9: by another spelling of the host: case, trailing dot, port, literal', async () => {
    const as = async (host: string, target: string) => statusOf(await door.raw(target, [`x-postern-host: ${host}`]))
    for (const host of ['ACME.TEST', 'acme.test.', 'acme.test:443', 'Acme.Test.:8443']) {
      expect(await as(host, '/v1/admin')).toBe(403)
      expect(await as(host, '/v1/x')).toBe(200)
    }
    // Another tenant's host, however it is written, is another tenant's: this token is of acme.
    for (const host of ['GLOBEX.TEST', 'globex.test.', 'gloBex.test:1']) expect(await as(host, '/v1/x')).toBe(403)
    for (const host of [
      'acme.test..',
      'acme..test',
      '[::1',
      '[::1%25lo]',
      'acme.test:99999',
      'a@acme.test',
      'acme.test/x',
      'acmé.test',
      '',
    ])
      expect(await as(host, '/v1/x'), host).toBe(400)
    for (const host of ['[::1]', '[::FFFF:127.0.0.1]:80', '127.0.0.1', 'acme.test.evil', 'xacme.test', 'acmextest'])
      expect(await as(host, '/v1/x'), host).toBe(403)
    expect(paths()).toEqual(Array.from({ length: 4 }, () => '/v1/x'))
  })

  it('T10: by a character that would be an operator elsewhere: what a policy writes is literal', async () => {
    await refused(['/v1/a.b', '/v1/a%2eb'], 403)
    for (const target of ['/v1/axb', '/v1/a%2Ab', '/v1/aac', '/v1/ac']) expect(statusOf(await door.raw(target)), target).toBe(200)
    await refused(['/v1/a+c', '/v1/a%2bc'], 403)
    const named = async (group: string) => (await door.postern.call('/v1/named', { token: door.token({ groups: [group] }) })).status
    expect([await named('a.c'), await named('abc'), await named('`a||1`'), await named('a')]).toEqual([403, 200, 403, 200])
  })

  it('T10: nor does the one place that takes patterns take long', async () => {
    const began = performance.now()
    const as = async (sub: string) => (await door.postern.call('/v1/pattern', { token: door.token({ sub }) })).status
    expect([await as(`${'a'.repeat(200)}b`), await as(`${'a'.repeat(200)}c`)]).toEqual([403, 200])
    expect(performance.now() - began).toBeLessThan(1_000)
  })
})

describe('whatever of these reaches a backend', () => {
  it('T1, T3, T4, T8: reads as the private path in no way of decoding', async () => {
    const tricks = ['%2e', '.', '%2F', '/', '\\', '%5c', ';', '%23', '#', '?', '%25', '%00', 'admin', 'x', '%61dmin', '%c0%af', '%e2%80%ae']
    const sent = new Set<string>()
    for (const a of tricks) for (const b of tricks) for (const c of ['admin', '/admin', '%2fadmin']) sent.add(`/v1/${a}${b}${c}`)
    await Promise.all(
      [...Array(8).keys()].map(async n => {
        for (const target of [...sent].filter((_, i) => i % 8 === n)) await door.raw(target)
      }),
    )
    expect(paths().length).toBeGreaterThan(10)
    expect(paths().filter(url => readings(url).some(path => path === '/v1/admin' || path.startsWith('/v1/admin/')))).toEqual([])
  })
})
