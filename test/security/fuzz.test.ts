import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { certificateDigest } from '../../src/edge/certificate.ts'
import { forwardedIp } from '../../src/edge/forwarded.ts'
import { canonicalIp, readAuthority, readHead } from '../../src/edge/head.ts'
import { acceptClaims } from '../../src/identity/claims.ts'
import { verifyProof } from '../../src/identity/dpop.ts'
import { decodeObject } from '../../src/identity/json.ts'
import { isOpaque, parseJws, tokenShown } from '../../src/identity/token.ts'
import { acceptHeader } from '../../src/identity/verify.ts'
import { Refusal } from '../../src/model/problem.ts'
import { Ambiguous, canonicalTarget, canonicalUrl } from '../../src/model/target.ts'
import { type Chance, chance } from '../support/chance.ts'
import { type Door, openDoor } from '../support/door.ts'
import { type ClientKey, clientKey } from '../support/dpop.ts'
import { claimsAt, settingsFor, signerOf } from '../support/issuer.ts'
import {
  encoded,
  endless,
  oddAddress,
  oddAuthority,
  oddAuthorization,
  oddHead,
  oddJson,
  oddTarget,
  spoilt,
} from '../support/odd-requests.ts'
import { gatewaySecret } from '../support/postern.ts'
import {
  claimsProblem,
  headProblem,
  isAbsoluteForm,
  isAbsolutePath,
  isAddress,
  isAuthority,
  isCredentials,
  isOriginForm,
  isToken68,
  jwsProblem,
  proofProblem,
  readHeadBytes,
  readJson,
} from '../support/strict.ts'

/** What a reader of the product took although the grammar refuses it: a second meaning that somebody else may read. */
const seed = Number(process.env['SEED'] ?? 5)
const cases = Number(process.env['CASES'] ?? 50_000)
/** Milliseconds for one input of 16 KiB at most, twice in a row: what takes longer takes the square of it, or worse. */
const longest = 100

/** A bad escape in a query passes on purpose, for rules to judge (ARCHITECTURE.md): to the grammar it is shown as one that is escaped. */
const withoutBadEscapes = (target: string): string => {
  const [path = '', ...query] = target.split('?')
  return [path, ...query.map(text => text.replaceAll(/%(?![0-9A-Fa-f]{2})/g, '%25'))].join('?')
}

interface Outcome {
  readonly accepted: boolean
  /** What the grammar says against an input that was accepted. */
  readonly against: string | null
}
const refused: Outcome = { accepted: false, against: null }
const accepted = (against: string | null): Outcome => ({ accepted: true, against })

const issuer = 'https://issuer.example'
const now = Date.now()
const header = { alg: 'ES256', typ: 'at+jwt', kid: 'k' }
const claims = claimsAt(now, issuer)
const settings = settingsFor(issuer)
let key: ClientKey

/** Each reader with inputs of its own; gives the input as it can be shown, and how it was judged. */
const readers: Readonly<Record<string, (c: Chance) => readonly [unknown, () => Outcome]>> = {
  'a request head': c => {
    const head = oddHead(c)
    const { method, target, version, fields } = head
    return [
      head,
      () =>
        readHead({ method, url: target, httpVersion: version, rawHeaders: fields }) instanceof Refusal
          ? refused
          : accepted(headProblem({ ...head, target: withoutBadEscapes(target) })),
    ]
  },
  'a request target': c => {
    const target = oddTarget(c)
    const judge = (): Outcome => {
      const result = canonicalTarget(target)
      if (result instanceof Ambiguous) return refused
      // What was made of it is in the grammar, too, and stays as it is.
      const again = canonicalTarget(result.path)
      const settled = !(again instanceof Ambiguous) && again.path === result.path
      return accepted(
        isOriginForm(withoutBadEscapes(target)) ?? isAbsolutePath(result.path) ?? (settled ? null : 'read again it is another path'),
      )
    }
    return [target, judge]
  },
  'an authority': c => {
    const authority = oddAuthority(c)
    const judge = (): Outcome => {
      const host = readAuthority(authority)
      return host === null
        ? refused
        : accepted(isAuthority(authority) ?? isAuthority(host) ?? (readAuthority(host) === host ? null : 'another host'))
    }
    return [authority, judge]
  },
  'an address': c => {
    const address = oddAddress(c)
    const judge = (): Outcome => {
      const canonical = canonicalIp(address)
      return canonical === null ? refused : accepted(isAddress(address) ?? isAddress(canonical))
    }
    return [address, judge]
  },
  'an absolute URL': c => {
    const url = c.maybe(60) ? spoilt(`https://${oddAuthority(c)}${oddTarget(c)}`, c) : `https://${oddAuthority(c)}${oddTarget(c)}`
    const judge = (): Outcome => {
      const canonical = canonicalUrl(url)
      return canonical === null ? refused : accepted(isAbsoluteForm(url.split(/[?#]/, 1)[0] ?? '') ?? isAbsoluteForm(canonical))
    }
    return [url, judge]
  },
  'a bearer token': c => {
    const value = oddAuthorization(header, claims, c)
    const judge = (): Outcome => {
      const token = tokenShown(value)
      if (token instanceof Refusal) return refused
      if (isOpaque(token)) return accepted(isCredentials(value) ?? isToken68(token))
      const jws = parseJws(token)
      if (jws instanceof Refusal || acceptHeader(jws, settings) instanceof Refusal) return refused
      return accepted(isCredentials(value) ?? jwsProblem(token))
    }
    return [value, judge]
  },
  'the claims of a token': c => {
    const text = oddJson(claims, c)
    const judge = (): Outcome => {
      const payload = decodeObject(encoded(text))
      if (typeof payload === 'string' || acceptClaims(payload, 'at+jwt', settings, now) instanceof Refusal) return refused
      const strict = readJson(Buffer.from(text))
      return accepted(strict === undefined ? 'no JSON' : claimsProblem({ ...(strict as object), iss: issuer }))
    }
    return [text, judge]
  },
  'a proof of possession': c => {
    const proofClaims = {
      jti: 'j',
      htm: 'GET',
      htu: 'https://api.example/v1',
      iat: Math.floor(now / 1000),
      ath: 'LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564',
    }
    const [head, payload] = [oddJson({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, c), oddJson(proofClaims, c)]
    const input = `${encoded(head)}.${encoded(payload)}`
    const proof = `${input}.${signerOf(key)(Buffer.from(input)).toString('base64url')}`
    const occasion = {
      method: 'GET',
      publicUrl: 'https://api.example',
      path: '/v1',
      token: 'foo',
      jkt: key.jkt,
      now,
      maxAge: 60_000,
      tolerance: 0,
      freshNonce: null,
    }
    const judge = (): Outcome => {
      if (verifyProof(proof, occasion) instanceof Refusal) return refused
      return accepted(jwsProblem(proof, true) ?? proofProblem(readJson(Buffer.from(payload)) as Record<string, unknown>))
    }
    return [`${head}.${payload}`, judge]
  },
}
/** Sends these bytes and ends its side, so that nobody waits for what is not to come; gives all that comes back. */
const sent = (port: number, bytes: string): Promise<string> =>
  new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.end(Buffer.from(bytes, 'latin1')))
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => resolve(text))
  })

/** A signature and its check take the time of a hundred other inputs. */
const shares: Readonly<Record<string, number>> = { 'a proof of possession': 0.02 }

describe('no reader of requests accepts what the grammars of the RFCs refuse, throws, or takes its time', () => {
  beforeAll(async () => {
    key = await clientKey()
  })
  const total = Object.keys(readers).reduce((sum, name) => sum + (shares[name] ?? 1), 0)

  it.each(Object.entries(readers))(`%s (SEED=${seed} CASES=${cases})`, (name, read) => {
    const c = chance(seed + name.length)
    const count = Math.ceil((cases * (shares[name] ?? 1)) / total)
    let taken = 0
    for (let i = 0; i < count; i++) {
      const [input, judge] = read(c)
      const timed = (): readonly [Outcome, number] => {
        const began = performance.now()
        try {
          return [judge(), performance.now() - began]
        } catch (error) {
          throw new Error(`input ${i}: it threw on ${JSON.stringify(input)}`, { cause: error })
        }
      }
      const [outcome, took] = timed()
      if (outcome.against !== null) expect.unreachable(`input ${i} was accepted, and has ${outcome.against}: ${JSON.stringify(input)}`)
      // Once may be the machine.
      if (took > longest && timed()[1] > longest) expect.unreachable(`input ${i} took ${took} ms: ${JSON.stringify(input)}`)
      if (outcome.accepted) taken++
    }
    // A generator whose inputs are all refused, or none, would compare nothing.
    expect(taken).toBeGreaterThan(count / 50)
    expect(taken).toBeLessThan(count * 0.95)
  })
})

describe('nothing that is sent takes the square of its length, or worse', () => {
  const head = (name: string, value: string): unknown =>
    readHead({ method: 'POST', url: '/v1', httpVersion: '1.1', rawHeaders: ['host', 'acme.test', name, value] })
  const fields = [
    'Connection',
    'Upgrade',
    'Expect',
    'Transfer-Encoding',
    'Content-Length',
    'Host',
    'Authorization',
    'DPoP',
    'X_A',
    'Forwarded',
    'X-Forwarded-For',
  ]
  it.each<[string, (text: string) => unknown]>([
    ...fields.map((name): [string, (text: string) => unknown] => [`in ${name}`, text => head(name, text)]),
    ['in the name of a field', text => head(text, 'x')],
    ['as a target', text => canonicalTarget(`/${text}`)],
    ['as a query', text => canonicalTarget(`/?${text}`)],
    ['as an authority', readAuthority],
    ['as an address', canonicalIp],
    ['as an htu', text => canonicalUrl(`https://${text}`)],
    ['as a path of an htu', text => canonicalUrl(`https://a/${text}`)],
    ['as the certificate of a caller', certificateDigest],
    ['as X-Forwarded-For', text => forwardedIp([text], { from: 'x-forwarded-for', hops: 1 })],
    [
      'as Forwarded',
      text => [forwardedIp([text], { from: 'forwarded', hops: 1 }), forwardedIp([`for="${text}`], { from: 'forwarded', hops: 1 })],
    ],
    ['as a token', text => [tokenShown(text), tokenShown(`Bearer ${text}`), isOpaque(text), parseJws(text), parseJws(`e30.${text}.AA`)]],
    ['as JSON', text => [decodeObject(encoded(text)), decodeObject(encoded(`{"a":"${text}`)), decodeObject(encoded(`{"a":${text}`))]],
  ])('%s', (_, read) => {
    const timed = (text: string): number => {
      const began = performance.now()
      read(text)
      return performance.now() - began
    }
    // Once may be the machine.
    const slow = endless.filter(text => timed(text) > longest && timed(text) > longest)
    expect(slow.map(text => `${text.slice(0, 12)} ... ${text.slice(-8)}`)).toEqual([])
  })
})

describe('the grammar itself', () => {
  it.each<[string, () => unknown, boolean]>([
    [
      'a JWS of RFC 7519',
      () =>
        jwsProblem(
          'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
        ),
      true,
    ],
    ['a JWS with padding', () => jwsProblem('eyJhbGciOiJFUzI1NiJ9.e30.AA=='), false],
    ['a JWS with a bit too many', () => jwsProblem('eyJhbGciOiJFUzI1NiJ9.e30.AB'), false],
    ['a JWS with crit', () => jwsProblem(`${encoded('{"alg":"ES256","crit":["x"]}')}.e30.AA`), false],
    ['a member twice', () => readJson(Buffer.from('{"a":1,"\\u0061":2}')), false],
    ['JSON of RFC 8259', () => readJson(Buffer.from(' {"Image":{"Width":800,"IDs":[116,-2.5e+1,"\\uD834\\uDD1E",true,null]}}\n')), true],
    ['a comma too many', () => readJson(Buffer.from('[1,]')), false],
    ['a leading zero', () => readJson(Buffer.from('[01]')), false],
    ['two values', () => readJson(Buffer.from('{} {}')), false],
    ['a target of RFC 9112', () => isOriginForm('/where?q=now'), true],
    ['a fragment', () => isOriginForm('/a#b'), false],
    ['a bad escape', () => isOriginForm('/a%zz'), false],
    ['an address of RFC 3986', () => isAuthority('[2001:db8::7]:80'), true],
    ['eight groups and an elision', () => isAuthority('[1::2:3:4:5:6:7:8]'), false],
    ['userinfo', () => isAuthority('a@b'), false],
    ['a token of RFC 6750', () => isCredentials('Bearer mF_9.B5f-4.1JqM'), true],
    ['two words', () => isCredentials('Bearer a b'), false],
    [
      'a head of RFC 9112',
      () => readHeadBytes('GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n'),
      true,
    ],
    ['a bare LF', () => readHeadBytes('GET / HTTP/1.1\nHost: a\r\n\r\n'), false],
    ['a folded line', () => readHeadBytes('GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n'), false],
    ['a blank before a colon', () => readHeadBytes('GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n'), false],
    ['two framings', () => readHeadBytes('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'), false],
  ])('on %s', (_, judge, good) => {
    const found = judge()
    expect(found === null || (typeof found === 'object' && found !== null), JSON.stringify(found)).toBe(good)
  })
})

describe('the real front, on raw sockets', () => {
  let door: Door
  beforeAll(async () => {
    door = await openDoor()
  })
  afterAll(() => door.stop())
  const count = Math.min(20_000, Math.ceil(cases / 50))

  it(`lets nothing through to the backend that is no request of RFC 9112, and answers or closes each time (SEED=${seed}, ${count} connections)`, async () => {
    const c = chance(seed)
    const token = door.token()
    const usual = (): string[] => [
      `${c.pick(['GET', 'GET', 'POST', 'DELETE'])} ${c.maybe(60) ? '/v1/a' : oddTarget(c)} HTTP/1.1`,
      `Host: ${c.maybe(80) ? 'acme.test' : oddAuthority(c)}`,
      'x-postern-host: acme.test',
      `x-postern-gateway-proof: ${gatewaySecret}`,
      `Authorization: ${c.maybe(80) ? `Bearer ${token}` : oddAuthorization(header, claims, c)}`,
      'Connection: close',
    ]
    const bytes = (): string => {
      const { fields } = oddHead(c)
      const lines = usual()
      if (c.maybe(40))
        for (let i = 0; i < fields.length; i += 2) if (fields[i]?.toLowerCase() !== 'host') lines.push(`${fields[i]}: ${fields[i + 1]}`)
      const text = `${lines.join('\r\n')}\r\n\r\n`
      return c.maybe(60) ? spoilt(text, c, 2) : text
    }
    let [passed, stopped] = [0, 0]
    const one = async (text: string): Promise<void> => {
      // As it goes over the wire, one byte a character.
      const marked = Buffer.from(text.replace('\r\n\r\n', `\r\nx-case: ${passed + stopped}\r\n\r\n`), 'latin1').toString('latin1')
      const before = door.backend.seen.length
      const reply = await sent(door.postern.port, marked)
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(reply)?.[1] ?? 0)
      if (door.backend.seen.length === before && status !== 200) return void stopped++
      passed++
      const strict = readHeadBytes(marked.replace(/(?<=^\S+ )\S+/, withoutBadEscapes))
      if (typeof strict === 'string') expect.unreachable(`it passed, and has ${strict}: ${JSON.stringify(marked)}`)
      const authorization =
        typeof strict === 'string'
          ? ''
          : (strict.fields[strict.fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization') + 1] ?? '')
      if (isCredentials(authorization) !== null) expect.unreachable(`it passed with ${JSON.stringify(authorization)}`)
    }
    for (let i = 0; i < count; i++) await one(bytes())
    expect(passed).toBeGreaterThan(count / 20)
    expect(stopped).toBeGreaterThan(count / 20)
    expect((await door.postern.call('/v1/x', { token })).status).toBe(200)
    expect(door.postern.log()).not.toContain('"level":"error"')
  })
})
