export const platformPolicy = 'postern: policy/v1\ntenant: _platform\nowners: [platform@example.com]\nrules: []\n'
