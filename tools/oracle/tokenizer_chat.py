"""Writes internal/tokenizer/testdata/templates.json.gz: conversations rendered by transformers.

    PLUMB_MODELS=... python tools/oracle/tokenizer_chat.py

The templates are written here in the style of each family; they use the constructs that the families' own use (tool schemas
through tojson, namespaces, reversed loops, macros, exceptions, white space control). SmolLM2's own template is
taken from its GGUF file: only the texts it gives are stored. Snippets probe the language itself.
"""

import datetime
import glob
import gzip
import json
import os
import pathlib

import transformers.utils.chat_template_utils as chat
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

OUT = pathlib.Path(__file__).resolve().parents[2] / "internal/tokenizer/testdata/templates.json.gz"
BOS, EOS = "<s>", "</s>"

TEMPLATES = {
    "chatml": """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set text = '<|head|>' + message['role'] + '<|foot|>\n\n' + message['content'] | trim + '<|turn|>' %}{% if loop.index0 == 0 %}{% set text = bos_token + text %}{% endif %}{{ text }}{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|foot|>\n\n' }}{% endif %}""",
    "llama3.1": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first, #}
{#- whether it was given or not. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|head|>system<|foot|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: python\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "Functions you can call:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|turn|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("There is no first user message to put the tools into") }}
{%- endif %}
    {{- '<|head|>user<|foot|>\\n\\n' -}}
    {{- "Call one of these functions as {\\"name\\": ..., \\"parameters\\": ...}.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|turn|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'tool' or message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|foot|>\\n\\n'+ message['content'] | trim + '<|turn|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time, please!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- if builtin_tools is defined and tool_call.name in builtin_tools %}
            {{- '<|head|>assistant<|foot|>\\n\\n' -}}
            {{- "<|py|>" + tool_call.name + ".call(" }}
            {%- for arg_name, arg_val in tool_call.arguments | items %}
                {{- arg_name + '="' + arg_val + '"' }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- endif %}
            {%- endfor %}
            {{- ")" }}
        {%- else  %}
            {{- '<|head|>assistant<|foot|>\\n\\n' -}}
            {{- '{"name": "' + tool_call.name + '", ' }}
            {{- '"parameters": ' }}
            {{- tool_call.arguments | tojson }}
            {{- "}" }}
        {%- endif %}
        {{- "<|turn|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|head|>ipython<|foot|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|turn|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|foot|>\\n\\n' }}
{%- endif %}
""",
    "qwen2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You help people.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nFunction signatures are inside <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\n<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou help people.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role here') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start>' + role + '
' + message['content'] | trim + '<end>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start>model
'}}{% endif %}""",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles must alternate") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {{ item['text'] | trim }}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start>model
'}}
{%- endif -%}
""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- Only user and assistant turns count; calls and their results do not. #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the system message, roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Call ids are alphanumeric strings of length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[RESULTS] {"content": ' + content|string + ", " }}
        {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}
            {{- raise_exception("Call ids are alphanumeric strings of length 9!") }}
        {%- endif %}
        {{- '"call_id": "' + message.tool_call_id + '"}[/RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
""",
    "macros": """{%- macro show(m, tag='t', n=1) -%}
<{{ tag }}{{ ' n=' ~ n if n != 1 else '' }}>{{ m.content | upper | replace('A', '@') }}</{{ tag }}>
{%- endmacro -%}
{%- macro props(d, depth=0) -%}
{%- for k, v in d.items() -%}
{{ '  ' * depth }}{{ k }}:{% if v is mapping %}

{{ props(v, depth + 1) }}{% elif v is sequence and v is not string %} [{{ v | map('string') | join('; ') }}]{% else %} {{ v }}{% endif %}

{% endfor -%}
{%- endmacro -%}
{% generation %}{{ show(messages[-1], n=messages | length) }}{% endgeneration %}
{% if tools %}{% for t in tools %}{{ props(t) }}{% endfor %}{% endif %}
{% for m in messages if m.role != 'system' %}
  {%+ if loop.first %}first {% endif %}{{ loop.index }}/{{ loop.length }} {{ loop.cycle('x', 'y', 'z') }} {{ m.role.title() }}
    {% if loop.index > 3 %}{% break %}{% endif %}
{% else %}
nobody
{% endfor %}
{{ messages | map(attribute='role') | unique | sort | join(',') }} {{ messages | selectattr('role', 'in', ['user', 'tool']) | list | length }}
{% set x %}block {{ messages | length }}{% endset %}{{ x | trim }} {% filter upper %}shout{% endfilter %} {% with a = 1, b = 2 %}{{ a + b }}{% endwith %}

{% raw %}{{ raw }}{% endraw %} {# gone #} end
""",
}


def msg(role, content, **more):
    return {"role": role, "content": content, **more}


CALL = [{"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 3, "unit": "°C", "exact": True, "scale": 1.5, "tags": [], "none": None}}}]
CONVERSATIONS = [
    [msg("user", "Hello!")],
    [msg("system", "You are terse."), msg("user", "  Hi there  ")],
    [msg("user", "One"), msg("assistant", "Two"), msg("user", "Three")],
    [msg("system", "S"), msg("user", "a\n\nb\n"), msg("assistant", " c\t"), msg("user", "<b>&'\"\\ ünï 漢字 😀")],
    [msg("user", "x"), msg("assistant", "<think>\nhm\n</think>\n\nanswer"), msg("user", "y"), msg("assistant", "<think>why</think>z")],
    [msg("user", "Weather?"), msg("assistant", "", tool_calls=CALL), msg("tool", "23 degrees", tool_call_id="abcdef123", name="weather"), msg("assistant", "It is 23."), msg("user", "Thanks")],
    [msg("user", "Both?"), msg("assistant", "I look.", tool_calls=CALL + CALL), msg("tool", "1", tool_call_id="abcdef123"), msg("tool", "{\"t\": 2}", tool_call_id="abcdef123")],
    [msg("assistant", "I start."), msg("user", "no")],
    [msg("user", "a"), msg("user", "b")],
    [msg("user", ""), msg("assistant", "")],
    [msg("system", "only system")],
    [msg("user", "{{ 1 + 1 }} {% if %} {# #}"), msg("assistant", "literal")],
]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather <now> & 'later' in \"a\" city: ü 漢 😀.", "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "name"}, "days": {"type": "integer", "default": 1, "minimum": -1.0, "maximum": 1e20, "step": 1e-7}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "noop", "description": "", "parameters": {}, "return": {"type": "null"}, "strict": False, "z": None, "a": [1, [2, {"b": "\u007f\u0001\t\n\\/"}]]}},
]

SNIPPETS = r"""
{{ none }}|{{ true }}|{{ false }}|{{ undefined_name }}|{{ 1 }}|{{ 1.0 }}|{{ -0.5 }}|{{ 1e3 }}|{{ 10**2 }}|{{ 2**-1 }}
{{ [1, 'a', "it's", none, true, 1.5, {'k': [1]}, ()] }}|{{ (1,) }}|{{ (1, 2) }}|{{ {} }}|{{ {'a': 1, 2: 'b'} }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 * 3.0 }} {{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 'a' ~ 1 ~ none ~ 1.5 ~ true }}|{{ 'ab' * 3 }}|{{ 'a' + 'b' }}|{{ [1] + [2] }}|{{ [0] * 3 }}|{{ 'a' 'b' "c" }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ none == none }} {{ [1] == [1.0] }} {{ {'a': 1} == {'a': 1} }} {{ undefined_a == undefined_b }}
{{ 1 in [1, 2] }} {{ 'b' in 'abc' }} {{ 'k' in {'k': 1} }} {{ 3 not in [1] }} {{ 'x' in undefined_name }} {{ not 1 in [2] }} {{ 1 in (1, 2) and not false }}
{{ 'a' or 'b' }} {{ '' or 'b' }} {{ 'a' and 'b' }} {{ '' and 'b' }}| {{ not '' }} {{ not 'a' }} {{ 0 or none }} {{ [] and 1 }}
{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ ('a' if false else 'b') ~ 'c' }} {{ 1 if 0 else 2 if 0 else 3 }}
{{ 'hello'[1] }}{{ 'hello'[-1] }}{{ 'hello'[1:3] }}{{ 'hello'[::-1] }}{{ 'hello'[:-2] }}{{ 'hello'[-3:] }}{{ 'hello'[10] }}|{{ 'hello'[5:1] }}|{{ 'hello'[::2] }}{{ 'hello'[4:0:-2] }}|{{ 'ü漢😀'[1] }}
{{ [1, 2, 3][0] }}{{ [1, 2, 3][-1] }}{{ [1, 2, 3][1:] }}{{ [1, 2, 3][::-1] }}{{ [1, 2, 3][5] }}|{{ [1][-1] }}|{{ [[1, 2], [3]][0][1] }}{{ (1, 2, 3)[:2] }}
{{ {'a': {'b': 1}}.a.b }} {{ {'a': 1}['a'] }} {{ {'a': 1}.b }}| {{ {'a': 1}.get('b', 'd') }} {{ {'a': 1}.get('b') }} {{ {'items': 1}['items'] }} {{ {1: 'x'}[1] }}
{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{{ ',' if not loop.last }}{% endfor %} {{ {'b': 1, 'a': 2}.keys() | list }} {{ {'b': 1, 'a': 2}.values() | list }} {{ {'b': 1} | items | list }} {% for k in {'x': 1, 'y': 2} %}{{ k }}{% endfor %}
{{ {'b': 1, 'a': 2, 'C': 0} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }} {{ {'b': 1, 'C': 2} | dictsort(true) }}
{{ '  x y '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ '\n\ta\u00a0\u3000'.strip() }}|{{ 'abcb'.rstrip('bc') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b  c'.rsplit(none, 1) }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aBc'.upper() }} {{ 'aBc'.lower() }} {{ 'hello wORLD it\'s'.title() }} {{ 'hELLO'.capitalize() }} {{ 'abab'.replace('a', 'x') }} {{ 'abab'.replace('a', 'x', 1) }} {{ ', '.join(['a', 'b']) }}
{{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abcb'.rfind('b') }} {{ 'abcb'.count('b') }} {{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ ' '.isspace() }} {{ 'A'.isupper() }} {{ 'a1'.isalnum() }} {{ 'ab'.removeprefix('a') }} {{ 'ab'.removesuffix('b') }} {{ '7'.zfill(3) }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }}
{{ 'x{}y{}'.format(1, 'b') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{n}'.format(n=5) }} {{ '%s-%d-%05.2f' % ('a', 3, 1.5) }} {{ '%s' % 'x' }} {{ '%s %s' | format('a', 1) }}
{{ '  a ' | trim }}|{{ 'aXa' | trim('a') }}|{{ 'a b' | upper }}|{{ 'A' | lower }}|{{ 'hello world' | title }}|{{ "it's o'neil (x) foo-bar" | title }}|{{ 'hELLO wOrld' | capitalize }}|{{ 'aab' | replace('a', 'x') }}|{{ 'aab' | replace('a', 'x', 1) }}|{{ 5 | string + 'x' }}|{{ 'a b c' | wordcount }}
{{ undefined_x | default('d') }} {{ none | default('d') }} {{ '' | default('d') }}| {{ '' | default('d', true) }} {{ none | d('e', boolean=true) }} {{ undefined_x | default }}| {{ undefined_x is defined }} {{ (undefined_x | default(none)) is none }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ [1, 1, 2] | unique | list }} {{ [1, 2, 3] | sum }} {{ [3, 1] | min }} {{ [3, 1] | max }} {{ [1, 2] | first }} {{ [1, 2] | last }} {{ [] | first }}| {{ 'ab' | list }} {{ 'abc' | last }} {{ [1, 2, 3, 4, 5] | batch(2) | list }}
{{ ['a', 'b'] | join(', ') }} {{ [1, none, 'x'] | join }} {{ [{'n': 1}, {'n': 2}] | join(',', attribute='n') }} {{ [{'n': {'m': 1}}] | map(attribute='n.m') | list }} {{ [{'n': 1}, {}] | map(attribute='n', default=0) | list }} {{ ['a'] | map('upper') | list }} {{ [1, 2, 3, 4] | select('even') | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [0, 1, ''] | select | list }} {{ [{'a': 1}, {'a': 0}, {}] | selectattr('a') | list }} {{ [{'a': 1}, {'b': 0}] | rejectattr('a', 'defined') | list }} {{ [{'a': 1}, {'a': 3}] | selectattr('a', 'gt', 2) | list }} {{ [{'a': 2}, {'a': 1}] | sort(attribute='a') }} {{ ['x', 'yy'] | map('length') | sum }}
{{ [1, 2] | length }} {{ 'ü漢' | length }} {{ {} | length }} {{ [1] | count }} {{ '3' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '3.7' | int }} {{ 'ff' | int(base=16) }} {{ '1.5' | float }} {{ 3 | float }} {{ 'x' | float }} {{ -3 | abs }} {{ -1.5 | abs }} {{ 2.5 | round }} {{ 2.567 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') | int }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(1, blank=true) }}|{{ 'a\nb' | indent('> ') }}|{{ 'a\n' | indent(2) }}|
{{ {'a': [1, 2.0, "x<&>'\"", none, true], 'b': {}} | tojson }} {{ [] | tojson }} {{ 'ü漢😀\u2028/' | tojson }} {{ {'b': 1, 'a': [1, {'c': []}]} | tojson(indent=2) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'ü😀' | tojson(ensure_ascii=true) }} {{ {1: 2, none: 3, true: 4} | tojson }} {{ 1e100 | tojson }} {{ 0.1 | tojson }} {{ 123456789012345680.0 | tojson }} {{ 1e-5 | tojson }} {{ (1, 2) | tojson }}
{{ 1e16 }} {{ 123456789.123 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.0e22 }} {{ 100.0 }} {{ 5e-324 }}
{{ 1 is number }} {{ true is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is integer }} {{ 'a' is string }} {{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ {} is mapping }} {{ [] is mapping }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ none is none }} {{ 0 is none }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ true is boolean }} {{ range is callable }} {{ 4 is even }} {{ 3 is odd }} {{ 6 is divisibleby 3 }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 1 is sameas 1 }} {{ 1 is eq 1 }} {{ 1 is not eq(2) }} {{ 2 is gt 1 }} {{ 1 is in [1] }} {{ 1 is ne 1 }} {{ undefined_x is undefined }} {{ undefined_x is iterable }} {{ undefined_x is string }} {{ undefined_x is none }}
{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{% for i in range(1, 3) %}{{ i }}{% endfor %} {% for i in [] %}x{% else %}empty{% endfor %} {% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}{% for i in [1, 2, 3] if i != 2 %}{{ loop.index }}:{{ i }}{{ loop.last }} {% endfor %}
{% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{% for j in [1] %}{{ loop.depth }}{% endfor %};{% endfor %}{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }} {% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set c = (1, 2) %}{{ c }}
{% for i in [1, 2, 3, 4] %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for i in [[1, [2, 3]], 4] recursive %}{% if i is sequence %}({{ loop(i) }}){% else %}{{ i }}{% endif %}{% endfor %}
{% macro f(a, b='d', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 2) }} {{ f(c=3, a=1) }} {{ f() }} {{ f(1)|length }} {% set g = f('x') %}{{ g ~ 'y' }} {% macro h() %}[{{ caller() }}]{% endmacro %}{% call h() %}in{% endcall %} {% macro k(x) %}{% if x > 0 %}{{ x }}{{ k(x - 1) }}{% endif %}{% endmacro %}{{ k(3) }}
{% set z = 5 %}{% macro m() %}{{ z }}{% set z = 6 %}{{ z }}{% endmacro %}{{ m() }}{{ z }} {% with z = 1 %}{{ z }}{% endwith %}{{ z }} {% set b %} x {% endset %}[{{ b }}] {% set u | upper %}abc{% endset %}{{ u }} {% filter replace('a', 'b') %}aaa{% endfilter %}
  {% if true %}  x  {% endif %}  y
a {%- if true -%} b {%- endif -%} c {{- ' d ' -}} e {#- f -#} g
{{ 'it''s' }} {{ "a\"b" }} {{ 'a\'b' }} {{ '\u00e9\x41\t|\\n' }} {{ '\q' }} {{ '{{ }}' }} {{ "%}" }} {{ {'a': {'b': {}}} }}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict({'a': 1}, b=2).b }} {{ 1_000 }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ {'a': 1}['a'] | string ~ 'b' }} {{ -1 | abs }} {{ (1).real if false else 'n' }} {{ 'a' | upper ~ 'b' | lower }} {{ 3 is odd and 4 is even or false }} {{ not undefined_x }} {{ undefined_x ~ 'a' }} {{ undefined_x | length }}
{{ 'a<b>&"' | escape }} {{ 'a' | safe }} {{ ['b'] | first | upper }} {{ 'abc' is in 'xabcx' }} {{ 'a' == 'a' and 'b' != 'c' }} {{ [1, [2]] == [1, [2]] }} {{ 'A' < 'a' }} {{ [1, 2] < [1, 3] }} {{ 1 <= 1 >= 1 }} {{ 'x' if undefined_x is defined and undefined_x.y else 'z' }}
{{ undefined_x.y }}
{{ undefined_x + 1 }}
{{ 'a' + 1 }}
{{ none.x }}|{{ none['x'] }}|{{ 1 .x }}
{{ 1 / 0 }}
{{ 'abc'.nope() }}
{{ [1].append(2) }}
{{ raise_exception('my message') }}
{{ {}['a']['b'] }}
{{ 1 < 'a' }}
{{ none + 'a' }}
{{ undefined_f() }}
{{ 'a' | nofilter }}
{{ 1 is notest }}
{% if %}x{% endif %}
{% for x in %}{% endfor %}
{{ 'a }}
{% endif %}
{% unknown %}
{% if true %}
{{ (1 }}
{{ }}
{{ 'a' 1 }}
{% include 'x' %}
{{ range(1000000) | length }}
{{ ''.__class__ }}|
{{ namespace(_x=1) }}
""".strip("\n").split("\n")
MULTI = ["a\n", "a\n\n", "\na", "{% if true %}\nx\n{% endif %}\ny\n", "  {% if true %}\n    x\n  {% endif %}\n  y", "{# c #}\nx\n  {# d #}  \ny", "{{ 1 }}\n{{ 2 }}\n\n", "x {% if true %} y\n{% endif %} z", "\t{% set a = 1 %}\t\n{{ a }}",
         "a\r\nb{{ '\r\n' }}c\rd", "{%+ if true %} x {%+ endif +%}\ny", "  {%- if true %}  \n x {%- endif %}\n", "{% raw %}\n {{ x }} {% if %}\n{% endraw %}\nend", "  {% raw -%}  a  {%- endraw -%}  b", "a\n   {{ 1 }}\n   {% if 1 %}{% endif %}\nb",
         "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\n", "{% for i in [1, 2] -%}\n  {{ i }}\n{%- endfor %}\n", "{{ '''a''' }}", "{{ 'a\nb' }}", "{%\n  if\n  true\n%}\nx{% endif %}", "x{#\n\n#}\n\ny", "{%- set x = [\n  1,\n  2\n] -%}\n{{ x }}", "{{ {'a':\n{'b': 1}}['a']\n}}", "  \n  {% if true %}\n{% endif %}"]


def fixed_clock():
    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 7, 26)

    chat.datetime = Fixed


def attempt(f):
    try:
        return f()
    except Exception:  # noqa: BLE001: the text of an error is not compared, only that there is one
        return None


def main():
    fixed_clock()
    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({BOS: 0, EOS: 1}, [])), bos_token=BOS, eos_token=EOS)
    options = [{}, {"add_generation_prompt": True}, {"tools": TOOLS}, {"tools": TOOLS, "add_generation_prompt": True}, {"continue_final_message": True},
               {"add_generation_prompt": True, "enable_thinking": False}, {"tools": TOOLS, "tools_in_user_message": False, "date_string": "1 Jan 2025"}]

    def render(template):
        return [[attempt(lambda: tok.apply_chat_template(c, chat_template=template, tokenize=False, **o)) for o in options] for c in CONVERSATIONS]

    data = {
        "tokens": {"bos_token": BOS, "eos_token": EOS},
        "conversations": [[{k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in m.items()} for m in c] for c in CONVERSATIONS],
        "options": [{**o, **({"tools": json.dumps(TOOLS, ensure_ascii=False)} if "tools" in o else {})} for o in options],
        "templates": {name: {"source": t, "texts": render(t)} for name, t in TEMPLATES.items()},
        "snippets": [[s, attempt(lambda: chat._compile_jinja_template(s).render(messages=[], strftime_now=None))] for s in SNIPPETS + MULTI],
        "dates": [[f, chat._compile_jinja_template("{{ strftime_now('" + f + "') }}").render()] for f in ["%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%A %a %y %H:%M:%S %p %j %I %%", "%-d.%-m.%y", "day"]],
    }
    base = os.environ.get("PLUMB_MODELS")
    if base:
        from gguf import GGUFReader

        path = glob.glob(base + "/smollm2/**/*.gguf", recursive=True)[0]
        data["smollm2"] = render(GGUFReader(path).fields["tokenizer.chat_template"].contents())
    with open(OUT, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
    print(OUT.name, OUT.stat().st_size, "bytes")
    for s, r in data["snippets"]:
        if r is None:
            print("fails:", s)


if __name__ == "__main__":
    main()
