import type { Head } from './edge/head.ts'
import { ownReply } from './edge/own-reply.ts'
import type { Issued } from './identity/aws-sessions.ts'
import type { Audit } from './model/audit.ts'
import type { Origin, Outgoing } from './model/exchange.ts'
import { Refusal } from './model/problem.ts'
import type { Snapshot } from './snapshot.ts'
import type { Trail } from './trail.ts'

/** Where callers of AWS exchange what they signed for a session. No route can have it while sessions are configured. */
export const sessionPath = '/.well-known/postern/aws-session'

export interface SessionStages {
  readonly audit: Audit
  /** A session for whoever signed what `authorization` shows. */
  session(authorization: string | null): Promise<Issued | Refusal>
}

/** The answer to a request for a session, behind every proof of the gateway; null for every other request. */
export const exchangeForSession = (
  stages: SessionStages,
  { loaded, policy }: Snapshot,
  { framing }: Head,
  origin: Origin,
  trail: Trail,
): Promise<Outgoing | Refusal> | null => {
  // To nothing but POST: gateways keep answers to GET.
  if (origin.method !== 'POST' || origin.target.path !== sessionPath || !loaded.config['aws-iam']?.sessions) return null
  trail.tenantOfHost = policy.tenantOfHost(origin.host)
  return answer(stages, framing, origin, trail)
}

const answer = async (
  { audit, session }: SessionStages,
  framing: Head['framing'],
  origin: Origin,
  trail: Trail,
): Promise<Outgoing | Refusal> => {
  if (framing.kind !== 'none') return new Refusal('PST1010')
  if (origin.mappedCaller !== null) return new Refusal('PST3021', 'the mapped caller needs no session')
  // Nobody gets a session of which there is no record.
  if (!audit.ready) return new Refusal('PST6001')
  const issued = await session(origin.authorization)
  if (issued instanceof Refusal) return issued
  trail.identity = issued.identity
  trail.told = 'aws-session'
  return ownReply(origin, { access_token: issued.token, token_type: 'Bearer', expires_in: issued.lasts })
}
