import { describe, expect, it } from 'vitest'
import { readConfig, showConfig } from '../../src/settings.ts'

const sections = {
  listen: '{ proxy: "127.0.0.1:0", ops: "127.0.0.1:0" }',
  gateway: '{ proof: [shared-secret], secret-files: [gateway.secret] }',
  issuers: '[{ issuer: "https://login.example.com/", audiences: [api] }]',
  upstreams: '{ api: { url: "http://127.0.0.1:1" } }',
  routes: '[{ name: a, host: a.example.com, prefix: /v1, upstream: api }]',
  audit: '{ key-file: audit.pem }',
}
const read = (changes: Readonly<Record<string, string>>) => {
  const text = Object.entries({ ...sections, ...changes }).map(([key, value]) => `${key}: ${value}\n`)
  const config = readConfig('proxy.config.yaml', Buffer.from(`postern: config/v1\n${text.join('')}`))
  return { ...config, errors: config.source.findings.map(f => `${f.code}:${f.line}:${f.column} ${f.message}`) }
}

describe('who may ask for decisions', () => {
  const decide = (more: string, listen = '"127.0.0.1:0"') => ({ decide: `{ listen: ${listen}, ${more} }` })

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['everybody who reaches the port', decide('original: path'), 'C202:8:9 decide needs peers: [10.0.1.0/24]'],
    [
      'half of all addresses',
      decide('original: path, peers: [0.0.0.0/1]'),
      'C204:8:58 0.0.0.0/1 holds addresses that no gateway connects from',
    ],
    [
      'addresses on a UNIX socket',
      decide('original: path, peers: [10.0.1.0/24]', '"unix:/run/d.sock"'),
      'C204:8:62 a UNIX socket has no source address. Remove peers',
    ],
    [
      'a field name in capitals',
      decide('original: path, peers: [10.0.1.0/24], fields: [X-Mode]'),
      '"X-Mode" is not a field name; write it in lower case',
    ],
    ['a way to be guessed', decide('peers: [10.0.1.0/24]'), 'C202'],
    ['a way of no proxy', decide('original: x-forwarded-uri, peers: [10.0.1.0/24]'), 'C204'],
    [
      'hops over a field of one address',
      decide('original: path, peers: [10.0.1.0/24], client-ip: { from: x-postern-client-ip, hops: 2 }'),
      'x-postern-client-ip holds one address. Remove hops.',
    ],
  ])('cannot be %s', (_, changes, error) => {
    expect(read(changes).errors.join()).toContain(error)
  })

  it('is nobody by default, and a socket needs no addresses', () => {
    expect(read({}).config?.decide).toBeNull()
    expect(read(decide('original: path', '"unix:/run/d.sock"')).errors).toEqual([])
  })
})

describe('listeners', () => {
  const listen = '{ proxy: "127.0.0.1:8080", ops: "127.0.0.1:9090" }'
  const decide = (at: string) => `{ listen: ${at}, original: path, peers: [10.0.1.0/24] }`

  it.each<[string, Readonly<Record<string, string>>, string]>([
    [
      'ops and the proxy',
      { listen: '{ proxy: "127.0.0.1:8080", ops: "127.0.0.1:8080" }' },
      'C204:2:41 127.0.0.1:8080 is the address of listen.proxy, too.',
    ],
    ['decisions and ops', { listen, decide: decide('"127.0.0.1:9090"') }, 'C204:8:19 127.0.0.1:9090 is the address of listen.ops, too.'],
    [
      'logout and decisions',
      {
        listen,
        decide: decide('"127.0.0.1:9091"'),
        revocation: '{ logout: { listen: "127.0.0.1:9091", clients: [{ issuer: "https://login.example.com/", client-id: web }] } }',
      },
      '127.0.0.1:9091 is the address of decide.listen, too. Write another port or socket.',
    ],
  ])('cannot share an address: %s', (_, changes, error) => {
    expect(read(changes).errors.join()).toContain(error)
  })

  it('may each have one, and port 0 is another each time', () => {
    expect(read({ listen, decide: decide('"127.0.0.1:9092"') }).errors).toEqual([])
    expect(read({ decide: decide('"127.0.0.1:0"') }).errors).toEqual([])
  })
})

describe('what must be proved beside a token', () => {
  it('has defaults', () => {
    const rows = new Map(showConfig(read({})).map(({ key, value }) => [key, value]))
    expect(rows.get('dpop.max-age')).toBe('1m')
    expect(rows.get('dpop.nonce')).toBe(false)
    expect(rows.get('gateway.caller-certificate')).toBe('none')
  })

  it.each<[string, Readonly<Record<string, string>>, string]>([
    [
      'a certificate in a field that anyone can write',
      { gateway: '{ proof: [none-accept-direct-traffic], caller-certificate: header }' },
      'C204:3:69 without proof of the gateway anyone could write x-postern-client-cert.',
    ],
    ['a key for no nonces', { dpop: '{ nonce-key-file: n }' }, 'C204:8:25 a key without nonces does nothing.'],
    ['proofs that are good for an hour', { dpop: '{ max-age: 1h }' }, 'C204:8:18 1h is out of range; write 5s to 5m.'],
  ])('cannot be %s', (_, changes, error) => {
    expect(read(changes).errors.join()).toContain(error)
  })

  it.each(['api.example.com', 'https://api.example.com/?a', 'https://api.example.com/a//b', 'https://u@api.example.com', 'ftp://a/'])(
    'cannot be made for the URL %s',
    url => {
      const routes = `[{ name: a, host: a.example.com, prefix: /v1, upstream: api, public-url: "${url}" }]`
      expect(read({ routes }).errors.join()).toContain('is not the base of a URL')
    },
  )

  it('is made for the public URL in its one spelling', () => {
    const routes = '[{ name: a, host: a.example.com, prefix: /v1, upstream: api, public-url: "HTTPS://API.example.com:443/prod/" }]'
    expect(read({ routes }).config?.routes[0]?.['public-url']).toBe('https://api.example.com/prod')
  })
})
