import type { MappedCaller } from '../model/exchange.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import type { AwsCallers, IssuerSettings } from './settings.ts'

/** Somebody who signed with AWS credentials. */
export interface AwsCaller {
  /** What policies name: of a role its own ARN, without the session. */
  readonly subject: string
  /** As AWS told it. */
  readonly arn: string
  readonly account: string
  /** Chosen by whoever assumed the role: it tells two sessions apart and grants nothing. Null where there is none. */
  readonly session: string | null
}

/** As IAM lets users, roles and role sessions be named. */
const name = '[A-Za-z0-9_+=,.@-]'
const user = new RegExp(`^arn:([a-z-]+):iam::(\\d{12}):(?:root|user/(?:[\\x21-\\x7e]{1,510}/)?${name}{1,64})$`)
const assumedRole = new RegExp(`^arn:([a-z-]+):sts::(\\d{12}):assumed-role/(${name}{1,64})/(${name}{2,64})$`)

/**
 * The caller that an ARN names: a user, the root of an account, or a session of a role, which becomes the role. Everything else is refused,
 * above all federated users: whoever may make one chooses its name, and the ARN does not say who that was.
 */
export const awsCaller = (arn: string, account: string, { partition, accounts }: AwsCallers): AwsCaller | Refusal => {
  const [, of = '', owner = '', role = null, session = null] = assumedRole.exec(arn) ?? user.exec(arn) ?? []
  if (of === '') return new Refusal('PST3022', 'neither a user nor a session of a role')
  if (of !== partition) return new Refusal('PST3022', 'partition')
  if (owner !== account) return new Refusal('PST3022', 'the account is not that of the ARN')
  if (!accounts.includes(account)) return new Refusal('PST3022', `account ${account}`)
  // An assumed role is named without its path. Names of roles are unique in an account, so no two roles become one.
  return { arn, account, session, subject: role === null ? arn : `arn:${of}:iam::${account}:role/${role}` }
}

/** What is known of a caller, as a token would say it. `now` and `life` in milliseconds. */
export const awsClaims = (caller: AwsCaller, { issuer, audiences }: IssuerSettings, now: number, life: number) => {
  const iat = Math.floor(now / 1000)
  const { subject, arn, account, session } = caller
  const exp = iat + Math.floor(life / 1000)
  return {
    iss: issuer,
    sub: subject,
    aud: audiences,
    iat,
    exp,
    arn,
    aws_account: account,
    ...(session === null ? {} : { session_name: session }),
  }
}

/** No request through the gateway lasts longer, so what is still open then has lost its client. */
const longestRequest = 15 * 60_000

/** The identity of a caller whose signature the gateway has checked, for this one request. */
export const mappedIdentity = (mapped: MappedCaller, settings: IssuerSettings | null, now: number): Identity | Refusal => {
  const { userArn, accountId, orgId } = mapped
  if (settings === null || settings.aws === null) return new Refusal('PST3003', 'no issuer for callers of AWS')
  const caller = awsCaller(userArn, accountId, settings.aws)
  if (caller instanceof Refusal) return caller
  const claims = { ...awsClaims(caller, settings, now, longestRequest), ...(orgId === null ? {} : { org_id: orgId }) }
  return identityOfClaims(claims)
}

interface CallerClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  readonly exp: number
}

/** The same as a token with these claims would give. */
export const identityOfClaims = (claims: CallerClaims): Identity =>
  Object.freeze({
    issuer: claims.iss,
    subject: claims.sub,
    audiences: claims.aud,
    scopes: [],
    agents: [],
    claims: Object.freeze({ ...claims }),
    expiresAt: claims.exp * 1000,
  })
