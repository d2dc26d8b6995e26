import { choice, flag, list, optional, type RecordOf, record, required, text } from '../config/shape.ts'
import { duration, path } from '../config/values.ts'
import { proxyUrl } from './issuer-urls.ts'

const account = text('an AWS account id', value =>
  /^\d{12}$/.test(value) ? null : `"${value}" is not an account id; write its 12 digits in quotes: "111122223333".`,
)

const mappedShape = record({
  'secret-files': required(
    list(path('a file path'), { min: 1, max: 16 }),
    'Files with one value of x-postern-iam-proof each (at least 32 bytes), none of gateway.secret-files: map it only where the caller is mapped, too.',
  ),
})

const stsHost = text('a regional endpoint of AWS STS', value =>
  /^sts\.[a-z]{2}(?:-[a-z]+)+-\d\.amazonaws\.com(?:\.cn)?$/.test(value)
    ? null
    : `"${value}" is not a regional endpoint of AWS STS; write its host: sts.eu-central-1.amazonaws.com.`,
)

const sessionsShape = record({
  'sts-hosts': required(list(stsHost, { min: 1, max: 16 }), 'Hosts that callers may sign for and Postern calls; none but these.'),
  'server-id': required(
    text('a name of this installation', value =>
      /^[\x21-\x7e]{8,128}$/.test(value)
        ? null
        : `"${value}" is not a name; write 8 characters or more without blanks: postern.acme.example.`,
    ),
    'What callers must sign in x-postern-server-id, so that a request which they made for somebody else is worth nothing here.',
  ),
  lifetime: optional(duration('1m', '1h'), 900_000, 'Of a session.'),
  proxy: optional<string | null>(proxyUrl, null, 'Forward proxy for the calls to AWS STS.'),
  'allow-private-addresses': optional(flag, false, 'AWS STS has an address of your network: an interface endpoint of the VPC.'),
})

/** `aws-iam:`, callers who sign with AWS credentials instead of showing a token of a provider. */
export const awsIamShape = record({
  issuer: required(
    text('an https URL', value =>
      URL.canParse(value) && new URL(value).protocol === 'https:'
        ? null
        : `"${value}" is not an https URL; write a name of this installation that no provider has: https://postern.example.com/aws-iam.`,
    ),
    'What policies call these callers by: recognise.issuer. Never one of issuers.',
  ),
  audiences: required(list(text('an audience'), { min: 1 }), 'What recognise.audience of policies is compared with.'),
  accounts: required(list(account, { min: 1, max: 1000 }), 'Accounts whose callers are accepted; there is no "any".'),
  partition: optional(choice(['aws', 'aws-cn', 'aws-us-gov']), 'aws', 'Partition of the accounts.'),
  mapped: optional<RecordOf<typeof mappedShape.fields> | null>(
    mappedShape,
    null,
    'The gateway checks the signature (AWS_IAM authorization) and maps userArn, accountId and principalOrgId: deploy/README.md.',
  ),
  sessions: optional<RecordOf<typeof sessionsShape.fields> | null>(
    sessionsShape,
    null,
    'Callers exchange a presigned GetCallerIdentity for a token of Postern: POST /.well-known/postern/aws-session. Needs the section assertion.',
  ),
})

export type AwsSessionSettings = RecordOf<typeof sessionsShape.fields>
export type AwsIamSettings = RecordOf<typeof awsIamShape.fields>
