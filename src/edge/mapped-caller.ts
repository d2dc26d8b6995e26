import type { MappedCaller } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import type { SecretBytes } from '../model/secret.ts'
import type { Head } from './head.ts'
import { isOneOf } from './proof.ts'

/**
 * The caller whom the gateway maps, once every proof of the gateway has passed. Those proofs stand on each of its integrations, also on one
 * that maps no caller and so lets pass what its client wrote into these fields: they count only beside a second secret, which stands where they
 * are overwritten and nowhere else. With that secret and without a caller the mapping is broken, which must not look like a request without one.
 */
export const mappedCaller = (
  { iamProof, iamUserArn, iamAccountId, iamOrgId }: Head['gateway'],
  secrets: readonly SecretBytes[],
): MappedCaller | null | Refusal => {
  // A variable without a value is mapped as an empty field.
  const [proof = ''] = iamProof
  const [userArn = ''] = iamUserArn
  const [accountId = ''] = iamAccountId
  const [orgId = ''] = iamOrgId
  if (proof === '') return userArn + accountId + orgId === '' ? null : new Refusal('PST1113', 'x-postern-iam-proof is missing')
  if (!isOneOf(secrets, proof)) return new Refusal('PST1113', 'x-postern-iam-proof is wrong')
  if (!/^[\x21-\x7e]{20,2048}$/.test(userArn)) return new Refusal('PST1103', 'x-postern-iam-user-arn')
  if (!/^\d{12}$/.test(accountId)) return new Refusal('PST1103', 'x-postern-iam-account-id')
  if (!/^(o-[a-z0-9]{10,32})?$/.test(orgId)) return new Refusal('PST1103', 'x-postern-iam-org-id')
  return { userArn, accountId, orgId: orgId === '' ? null : orgId }
}

/** What the caller of an API with AWS_IAM authorization sends in `Authorization`. The gateway has checked it; it is no token for anybody behind. */
export const isAwsSignature = (authorization: string | null): boolean =>
  authorization !== null && /^AWS4-[A-Z0-9-]{1,64} /.test(authorization)
