import { choice, list, optional, type RecordOf, record, required, text } from '../config/shape.ts'
import { path } from '../config/values.ts'

const account = text('an AWS account id', value =>
  /^\d{12}$/.test(value) ? null : `"${value}" is not an account id; write its 12 digits in quotes: "111122223333".`,
)

const mappedShape = record({
  'secret-files': required(
    list(path('a file path'), { min: 1, max: 16 }),
    'Files with one value of x-postern-iam-proof each (at least 32 bytes), none of gateway.secret-files: map it only where the caller is mapped, too.',
  ),
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
})

export type AwsIamSettings = RecordOf<typeof awsIamShape.fields>
