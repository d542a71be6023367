"""Credentials of many more vendors, made up from templates: `{A48}` stands for 48 letters and digits drawn by chance.

The forms are those that vendors print and that the public lists of secret scanners name: beginning, alphabet, length.
"""

import re
import string
import uuid
from collections.abc import Callable
from functools import partial
from random import Random

ALPHABETS = {
    "A": string.ascii_letters + string.digits,
    "B": string.ascii_letters + string.digits + "+/",
    "D": string.digits,
    "H": "0123456789abcdef",
    "L": string.ascii_lowercase + string.digits,
    "P": string.ascii_uppercase + string.digits,
    "U": string.ascii_letters + string.digits + "-_",
    "X": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}
PLACE = re.compile(r"\{([A-Z])(\d+)\}")

TEMPLATES = {
    "Anthropic OAuth": ["sk-ant-oat01-{U94}A", "sk-ant-ort01-{U94}A"],
    "OpenRouter": ["sk-or-v1-{H64}"],
    "Groq": ["gsk_{A52}"],
    "xAI": ["xai-{A80}"],
    "Perplexity": ["pplx-{A48}"],
    "Cerebras": ["csk-{L48}"],
    "NVIDIA": ["nvapi-{U63}Q"],
    "Together": ["tgp_v1_{U42}Q"],
    "Fireworks": ["fw_{A24}", "fw_{A22}"],
    "Replicate": ["r8_{A37}", "r8_{A40}"],
    "Tavily": ["tvly-{A32}", "tvly-dev-{A32}", "tvly-prod-{A32}"],
    "Firecrawl": ["fc-{H32}"],
    "Jina": ["jina_{H32}{U27}Q"],
    "LlamaCloud": ["llx-{A48}"],
    "LangSmith": ["lsv2_pt_{H32}_{H10}", "lsv2_sk_{H32}_{H10}", "ls__{H32}"],
    "Pinecone": ["pcsk_{A5}_{A63}", "pcsk_{A6}_{A63}"],
    "Composio": ["ak_{U19}Q", "oak_{U19}q", "uak_{U43}"],
    "E2B": ["e2b_{H40}"],
    "ElevenLabs": ["sk_{H48}"],
    "AWS Bedrock": ["ABSK{A20}{B108}="],
    "Google auth key": ["AQ.Ab8{U47}Q"],
    "Alibaba Cloud": ["LTAI{A20}"],
    "Yandex": ["AQVN{U35}Q"],
    "Cloudflare origin": ["v1.0-{H24}-{H146}"],
    "Heroku": ["HRKU-AA{U57}Q"],
    "Fly": ["fo1_{U42}Q", "fm2_lJPECAAAAAAA{A6}{B120}"],
    "Vercel": ["vercel_blob_rw_{A16}_{A30}", "vcp_{A24}", "vck_{A56}"],
    "Netlify": ["nfp_{A36}"],
    "Render": ["rnd_{A28}"],
    "Scalingo": ["tk-us-{U47}Q"],
    "Deno": ["ddp_{A36}"],
    "Doppler": ["dp.pt.{A43}", "dp.st.dev.{A43}", "dp.ct.{A40}"],
    "Pulumi": ["pul-{H40}"],
    "Prefect": ["pnu_{A36}"],
    "Harness": ["pat.{U22}.{H24}.{A20}", "sat.{U22}.{H24}.{A20}"],
    "Octopus Deploy": ["API-{P26}"],
    "Infracost": ["ico-{A32}"],
    "Tailscale": ["tskey-auth-{A16}-{A32}", "tskey-api-{A16}-{A32}"],
    "Vault": ["hvs.{U90}Q", "hvb.{U140}Q"],
    "GitLab, others": ["glimt-{A25}", "gloas-{U63}Q", "glagent-{U49}Q", "GR1348941{A20}", "glffct-{A20}"],
    "Bitbucket": ["ATBB{A32}"],
    "Atlassian": ["ATATT3{U180}={P8}", "ATCTT3{U180}={P8}"],
    "Sourcegraph": ["sgp_{H16}_{H40}", "sgp_local_{H40}", "sgp_{H40}"],
    "RubyGems": ["rubygems_{H48}"],
    "Cargo": ["cio{A32}"],
    "NuGet": ["oy2{L43}"],
    "Clojars": ["CLOJARS_{L60}"],
    "Docker": ["dckr_pat_{U26}Q", "dckr_oat_{U31}Q"],
    "Artifactory": ["AKCp{A69}", "cmVmdGtuOj{A54}"],
    "CircleCI": ["CCIPAT_{A22}_{H40}"],
    "Buildkite": ["bkua_{H40}"],
    "Supabase": ["sbp_{H40}", "sb_secret_{U30}Q"],
    "PlanetScale": ["pscale_tkn_{U42}Q", "pscale_pw_{U42}Q", "pscale_oauth_{U42}Q"],
    "ClickHouse": ["4b1d{A38}"],
    "Airtable": ["pat{A14}.{H64}"],
    "Contentful": ["CFPAT-{U42}Q"],
    "Grafana": ["glsa_{A32}_{H8}", "glc_eyJvIjoi{A80}="],
    "Sentry": ["sntrys_eyJpYXQiOjE3{A90}_{B43}", "sntryu_{H64}"],
    "Dynatrace": ["dt0c01.{P24}.{P64}"],
    "New Relic": ["NRAK-{P27}", "NRII-{A31}Q"],
    "PostHog": ["phx_{A43}"],
    "LaunchDarkly": ["api-{uuid}", "sdk-{uuid}"],
    "Brevo": ["xkeysib-{H64}-{A16}"],
    "Mailgun": ["key-{H32}"],
    "Mailchimp": ["{H32}-us{D1}", "{H32}-us1{D1}"],
    "Resend": ["re_{A8}_{A24}"],
    "Notion": ["ntn_{D11}{A35}", "secret_{A43}"],
    "Linear": ["lin_api_{A40}"],
    "ClickUp": ["pk_{D8}_{P32}"],
    "HubSpot": ["pat-na1-{uuid}", "pat-eu1-{uuid}"],
    "Typeform": ["tfp_{A44}_{A14}"],
    "Figma": ["figd_{U39}Q"],
    "Frame.io": ["fio-u-{U63}Q"],
    "Dropbox": ["sl.{U137}Q"],
    "Postman": ["PMAK-{H24}-{H34}"],
    "ReadMe": ["rdme_{L70}"],
    "Facebook": ["EAAC{A160}", "EAAM{A160}"],
    "42": ["s-s4t2ud-{H64}"],
    "Square": ["sq0atp-{U21}Q", "EAAA{U59}Q"],
    "Flutterwave": ["FLWSECK-{H32}-X", "FLWSECK_TEST-{H32}-X"],
    "Plaid": ["access-production-{uuid}", "access-sandbox-{uuid}"],
    "Duffel": ["duffel_live_{U42}Q", "duffel_test_{U42}Q"],
    "EasyPost": ["EZAK{A54}", "EZTK{A54}"],
    "Shippo": ["shippo_live_{H40}"],
    "Shopify": ["shpat_{H32}", "shpss_{H32}"],
    "SettleMint": ["sm_aat_{A16}", "sm_pat_{A16}"],
    "1Password": ["ops_eyJ{A300}", "A3-{P6}-{P6}-{P5}-{P5}-{P5}-{P5}"],
    "age": ["AGE-SECRET-KEY-1{X58}"],
    "Adobe": ["p8e-{A32}"],
    "Defined Networking": ["dnkey-{P26}-{P52}"],
    "Mapbox secret": ["sk.eyJ{A70}.{U21}Q"],
    "Azure client secret": ["{A3}8Q~{U33}Q"],
    "OpenShift": ["sha256~{U42}Q"],
    "Terraform": ["{A14}.atlasv1.{U66}Q"],
    "MaxMind": ["{A6}_{A29}_mmk"],
}


def made(random: Random, *, templates: list[str]) -> str:
    """A value of one of the templates."""

    def drawn(place: re.Match[str]) -> str:
        return "".join(random.choices(ALPHABETS[place[1]], k=int(place[2])))

    template = random.choice(templates).replace("{uuid}", str(uuid.UUID(int=random.getrandbits(128), version=4)))
    return PLACE.sub(drawn, template)


VENDORS: dict[str, Callable[[Random], str]] = {
    kind: partial(made, templates=templates) for kind, templates in TEMPLATES.items()
}
"""By vendor, who makes a value."""
