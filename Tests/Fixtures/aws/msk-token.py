"""The presigned URLs of MSK tokens by botocore, for MSKTokenTests.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install botocore==1.43.11
    /tmp/v/bin/python Tests/Fixtures/aws/msk-token.py >Tests/Fixtures/aws/msk-token.txt
"""

import datetime

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime.datetime(2024, 2, 29, 23, 59, 58)

botocore.auth.get_current_datetime = lambda *arguments, **named: NOW
for token in (None, "TOKEN/with+signs=="):
    request = AWSRequest(
        method="GET",
        url="https://kafka.eu-central-1.amazonaws.com/",
        params={"Action": "kafka-cluster:Connect"},
    )
    credentials = Credentials(*KEYS, token)
    botocore.auth.SigV4QueryAuth(credentials, "kafka-cluster", "eu-central-1", expires=900).add_auth(request)
    print(request.url)
