import type { KeyObject } from 'node:crypto'
import type { Deps, FetchReply } from '../model/deps.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import { signAs } from './assertion.ts'
import { awsCaller, awsClaims, identityOfClaims } from './aws-caller.ts'
import type { AwsSessionSettings } from './aws-iam-settings.ts'
import { audienceHeader, readAnswer, readSigned, type SignedRequest } from './aws-request.ts'
import type { Bounds } from './bounds.ts'
import { Bucket } from './bucket.ts'
import { sessionType } from './presets.ts'
import { Replays } from './replay.ts'
import type { IssuerSettings } from './settings.ts'
import { printable } from './verify.ts'

/** What issuing sessions needs; the first key signs. */
export interface SessionIssuer {
  readonly issuer: IssuerSettings
  readonly settings: AwsSessionSettings
  readonly keys: readonly KeyObject[]
}

export interface Issued {
  readonly token: string
  readonly identity: Identity
  /** Seconds. */
  readonly lasts: number
}

/** The scheme of `Authorization` under which a signed request is shown, in base64url. Known at the exchange and nowhere else. */
const scheme = /^AWS-STS +([^ ]+)$/i

/** Milliseconds for which AWS could take a signed request, by any clock. */
const remembered = 16 * 60_000

/**
 * Exchanges a presigned GetCallerIdentity for a short session. AWS alone can tell who signed, and takes a signed request as often as it comes
 * for a quarter of an hour: so it is asked once for each, within a rate, and nobody gets a second session for one.
 */
export class AwsSessions {
  readonly #deps: Deps
  readonly #bounds: Bounds
  readonly #called: (result: string) => void
  readonly #shown: Replays
  readonly #bucket: Bucket
  #of: SessionIssuer | null = null
  #calls = 0

  /** `called` hears how each call of AWS ended: `answered`, `refused` or `failed`. */
  constructor(deps: Deps, called: (result: string) => void, bounds: Bounds) {
    this.#deps = deps
    this.#bounds = bounds
    this.#called = called
    this.#shown = new Replays(bounds.awsRequests)
    this.#bucket = new Bucket(bounds.awsBurst, bounds.awsEvery, deps.clock.monotonic())
  }

  /** Null: none are issued. */
  configure(of: SessionIssuer | null): void {
    this.#of = of
  }

  /** Signed requests remembered. */
  get remembered(): number {
    return this.#shown.size
  }

  /** A session for whoever signed what is shown here. Never rejects. */
  async exchange(authorization: string | null): Promise<Issued | Refusal> {
    const of = this.#of
    if (of === null) return new Refusal('PST3105', 'not configured')
    if (authorization === null) return new Refusal('PST3001')
    const [, shown] = scheme.exec(authorization) ?? []
    if (shown === undefined) return new Refusal('PST3014', 'not AWS-STS')
    const request = readSigned(shown, of.settings['sts-hosts'], this.#deps.clock.now())
    if (typeof request === 'string') return new Refusal('PST3023', request)
    const turn = this.#admit(request)
    if (turn !== null) return turn
    this.#calls++
    try {
      return this.#issue(of, await this.#ask(of, request))
    } catch (fault) {
      this.#called('failed')
      return unavailable(fault instanceof Error ? fault.message : String(fault))
    } finally {
      this.#calls--
    }
  }

  /** The rate first: made-up signatures must neither use up what AWS allows nor fill the memory. */
  #admit({ signature }: SignedRequest): Refusal | null {
    const now = this.#deps.clock.monotonic()
    if (this.#calls >= this.#bounds.awsCalls) return new Refusal('PST3106', 'calls under way', 1)
    if (!this.#bucket.take(now)) return new Refusal('PST3106', 'rate', Math.max(1, Math.ceil(this.#bucket.wait(now) / 1000)))
    const seen = this.#shown.take('', signature, now, remembered)
    if (seen === 'full') return new Refusal('PST3106', 'memory', 60)
    return seen === 'seen' ? new Refusal('PST3024') : null
  }

  #ask({ settings }: SessionIssuer, { url }: SignedRequest): Promise<FetchReply> {
    return this.#deps.fetch(url, {
      // Nothing of what the caller sent but what is in the URL: its headers could ask for another answer.
      headers: { [audienceHeader]: settings['server-id'], accept: 'text/xml' },
      timeout: this.#bounds.awsDeadline,
      maxBytes: this.#bounds.awsBytes,
      reach: settings['allow-private-addresses'] ? 'private' : 'public',
      ...(settings.proxy === null ? {} : { proxy: settings.proxy }),
    })
  }

  #issue(of: SessionIssuer, { status, body }: FetchReply): Issued | Refusal {
    this.#called(status === 200 ? 'answered' : status === 403 ? 'refused' : 'failed')
    if (status === 403) return new Refusal('PST3025')
    if (status !== 200) return unavailable(`answered ${status}`)
    const answer = readAnswer(body)
    const [key] = of.keys
    if (answer === null || key === undefined || of.issuer.aws === null) return unavailable('an answer that is not understood')
    const caller = awsCaller(answer.arn, answer.account, of.issuer.aws)
    if (caller instanceof Refusal) return caller
    const jti = this.#deps.random(16).toString('base64url')
    const claims = { ...awsClaims(caller, of.issuer, this.#deps.clock.now(), of.settings.lifetime), jti }
    return { token: signAs(key, sessionType, claims), identity: identityOfClaims(claims), lasts: claims.exp - claims.iat }
  }
}

const unavailable = (why: string): Refusal => new Refusal('PST3105', printable(why), 1)
