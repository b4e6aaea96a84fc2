"""Every knob of a run, with its default and one line of explanation.

Other files in this folder state differences from here. Any knob can be set on
the command line: --config.grpo.steps=20. Sizes are in tokens of the run's
tokenizer unless said otherwise; None means off.
"""

from ml_collections import config_dict

from configs import profiles


def get_config(arg: str | None = None) -> config_dict.ConfigDict:
  """The base config; `arg`, behind a colon in --config, names a profile."""
  c = config_dict.ConfigDict()
  c.seed = 0  # root of all random numbers

  c.mesh = config_dict.ConfigDict()
  c.mesh.fsdp = -1  # devices that split batches and parameters; -1: the rest
  c.mesh.tp = 1  # devices that split heads, feed-forward and vocabulary

  c.data = config_dict.ConfigDict()
  c.data.sources = ('synthetic',)  # synthetic, files, or of data/catalog.py
  c.data.root = config_dict.placeholder(str)  # raw files; $MEM_ALPHA_DATA/raw
  c.data.hub = False  # fetch raw files that are missing; needs [hub]
  c.data.train_instances = 4000  # instances of one epoch (as far as there are)
  c.data.chunks = 5  # chunks per instance, at most
  c.data.chunk_tokens = 384  # tokens per chunk of real text, at most
  c.data.max_questions = 10  # questions per instance of real text, at most
  c.data.min_questions = 1  # instances of real text with fewer are left out
  c.data.min_chunks = 1  # texts with fewer chunks are left out
  c.data.min_chunk_tokens = config_dict.placeholder(int)  # sizes drawn: from
  c.data.max_answer_tokens = config_dict.placeholder(int)  # longer: left out
  c.data.tokens = config_dict.placeholder(int)  # length, instead of chunks
  c.data.published = False  # split as published: shares rows with its tests
  c.data.train_files = ()  # prepared .parquet or .jsonl, for the source files
  c.data.validation_files = ()  # the same for validation
  c.data.test_files = ()  # the same for the test
  c.data.metric = config_dict.placeholder(str)  # of others' files; as published
  c.data.caps = ()  # instances per source: 'squad=100'; of training data
  c.data.weights = ()  # times per epoch: 'squad=2'; 1 where not named
  c.data.min_tokens = config_dict.placeholder(int)  # shorter ones: left out
  c.data.max_tokens = config_dict.placeholder(int)  # longer ones: left out
  c.data.curriculum = 0  # epochs in which short instances come first
  c.data.question_share = 1.0  # questions asked each time, of an instance's
  c.data.synthetic = config_dict.ConfigDict()  # counts per 5 chunks
  c.data.synthetic.tokens = config_dict.placeholder(int)  # length; None: chunks
  c.data.synthetic.facts = 1  # each a two-hop chain and a plain fact
  c.data.synthetic.changes = 2  # facts changed later, per unit of facts
  c.data.synthetic.events = 1  # dated events
  c.data.synthetic.classes = 2  # labels of the classification task
  c.data.synthetic.examples = 2  # labelled examples per class
  c.data.synthetic.topics = 4  # keywords of the long-range question
  c.data.synthetic.small_talk = 13  # sentences not worth storing

  c.prepare = config_dict.ConfigDict()  # --mode=prepare
  c.prepare.tokenizer = 'models/qwen3-tokenizer'  # directory; counts tokens
  c.prepare.train = 100  # training instances per source, at most; 0: none
  c.prepare.validation = 10  # the same for validation
  c.prepare.test = 10  # the same for the test
  c.prepare.against = ()  # benchmarks that training must share nothing with
  c.prepare.ask = False  # endpoint.model filters questions, writes keywords

  c.tokenizer = config_dict.ConfigDict()
  c.tokenizer.source = 'train'  # train (inside the run) or model (its own)
  c.tokenizer.vocab_size = 1024  # of a trained tokenizer, at most
  c.tokenizer.instances = 400  # conversations that it is trained on

  c.model = config_dict.ConfigDict()
  c.model.preset = 'tiny'  # shape in models/presets.py, without weights
  c.model.weights = config_dict.placeholder(str)  # .gguf file or HF directory
  c.model.num_layers = config_dict.placeholder(int)  # instead of the preset's
  c.model.width = config_dict.placeholder(int)  # instead of the preset's
  c.model.dtype = 'float32'  # of activations: float32 or bfloat16
  c.model.param_dtype = 'float32'  # of the weights: float32 or bfloat16
  c.model.remat = 'none'  # what the backward pass recomputes: none, dots, full
  c.model.attention = 'auto'  # einsum, heads, cudnn, splash; auto: by platform

  c.lora = config_dict.ConfigDict()
  c.lora.rank = 0  # of the adapters that learn in place of weights; 0: off
  c.lora.scale = 2.0  # what their products are multiplied by

  c.memory = config_dict.ConfigDict()
  c.memory.core = True  # offer core memory
  c.memory.semantic = True  # offer semantic memory
  c.memory.episodic = True  # offer episodic memory
  c.memory.tokens = 1024  # token pool per rollout
  c.memory.terms = 1024  # word pool per rollout
  c.memory.rows = 96  # versions of entries per rollout
  c.memory.core_limit = 512  # tokens of core
  c.memory.core_overflow = 'refuse'  # or truncate: cut what is over the limit
  c.memory.entry_limit = config_dict.placeholder(int)  # tokens; profiles: 64
  c.memory.limit_tokenizer = 'run'  # what limits count in: run or o200k
  c.memory.allow_empty = False  # store empty contents
  c.memory.delete_unknown = False  # deleting what is not there succeeds
  c.memory.keep_history = False  # compaction keeps closed versions

  c.prompt = config_dict.ConfigDict()
  c.prompt.profile = 'compact'  # layout: compact, hermes (chat template), …
  c.prompt.tokens = 192  # length limit of a prompt
  c.prompt.show = 4  # most recent entries of a kind in the view

  c.sampling = config_dict.ConfigDict()
  c.sampling.temperature = 1.0  # of training rollouts; evaluation is greedy
  c.sampling.top_k = 0  # 0: all tokens
  c.sampling.top_p = 1.0  # 1: all tokens
  c.sampling.stop = ()  # strings that end a response as end-of-turn does
  c.sampling.max_new_tokens = 96  # length limit of a response
  c.sampling.slots = 64  # responses in progress at a time; others wait
  c.sampling.buckets = 1  # widths that prompts are read at, evenly spaced
  c.sampling.prefill_tokens = 2048  # prompt tokens that are read at a time
  c.sampling.max_calls = 12  # calls per turn that are executed

  c.reader = config_dict.ConfigDict()
  c.reader.name = 'lexical'  # who answers: lexical, local or endpoint
  c.reader.max_words = 5  # length of a quoted answer
  c.reader.top_k = 20  # entries of a kind that a search returns
  c.reader.query_words = 32  # words of a question that the search counts
  c.reader.idf = 'default'  # weight of a word: default (>= 0) or reference
  c.reader.weights = config_dict.placeholder(str)  # of local: .gguf or HF dir
  c.reader.prompt_tokens = 2048  # length limit of a model's prompt
  c.reader.question_tokens = 128  # of local: of a question or judged text
  c.reader.max_new_tokens = 64  # length limit of a model's answer
  c.reader.temperature = 0.0  # of a model's answers; 0: greedy
  c.reader.order = 'insertion'  # of the shown entries: insertion or rank
  c.reader.rounds = 0  # further searches that a model may ask for: 0 to 5
  c.reader.thinking = config_dict.placeholder(bool)  # None: as the model does
  c.reader.groups = 8  # of local: memories that are read at a time
  c.reader.questions = 16  # of local: questions per memory at a time

  c.judge = config_dict.ConfigDict()
  c.judge.name = config_dict.placeholder(str)  # local or endpoint, like reader
  c.judge.content = False  # it judges stored contents (r4), not only answers
  c.judge.chunk = True  # it sees the chunk that a content was taken from
  c.judge.model = config_dict.placeholder(str)  # None: endpoint.model
  c.judge.max_new_tokens = 32  # length limit of a verdict

  c.endpoint = config_dict.ConfigDict()  # an OpenAI-compatible server
  c.endpoint.url = config_dict.placeholder(str)  # http://localhost:8000/v1
  c.endpoint.model = config_dict.placeholder(str)  # name that it is served as
  c.endpoint.api = 'chat'  # chat or completions
  c.endpoint.key_env = 'OPENAI_API_KEY'  # environment variable with the key
  c.endpoint.concurrency = 64  # requests at a time
  c.endpoint.connect_seconds = 10.0  # time limit of a connection
  c.endpoint.read_seconds = 120.0  # time limit of a whole response
  c.endpoint.attempts = 8  # times that a question is asked before it fails
  c.endpoint.first_wait = 0.5  # seconds before it is asked again, then doubled
  c.endpoint.longest_wait = 30.0  # seconds, at most
  c.endpoint.max_requests = config_dict.placeholder(int)  # of run and process
  c.endpoint.cache = config_dict.placeholder(str)  # None: in the workdir
  c.endpoint.failure_limit = 0.1  # share of failed answers that stops the run

  c.reward = config_dict.ConfigDict()  # r = r1 + calls r2 + beta r3 + gamma r4
  c.reward.calls = 1.0  # weight of the share of valid calls
  c.reward.compression = 0.05  # beta
  c.reward.content = 0.1  # gamma
  c.reward.scores = 'default'  # scorers: default, reference, reference_eval
  c.reward.answer_by = 'episode'  # r1 of a turn: episode, chunk or evidence
  c.reward.skipped = 'failed'  # duplicates in r2: failed, left_out, published
  c.reward.unknown_delete = False  # deleting what is not there is a success
  c.reward.truncated = False  # a call cut off by the length limit is a success
  c.reward.done = 1.0  # r2 of a turn that stores nothing on purpose
  c.reward.published_content = False  # r4 over all calls, deletes count as 0
  c.reward.tokenizer = 'run'  # whose tokens r3 counts: run or o200k
  c.reward.token_price = 1e-3  # score that one memory token must be worth

  c.warm = config_dict.ConfigDict()
  c.warm.copy_steps = 0  # steps on copying scrambled sentences, before all
  c.warm.keep_steps = 0  # steps on a writer that stores everything
  c.warm.copies = 6000  # such turns, before they are repeated
  c.warm.copy_prompt_tokens = 96  # length limit of their prompts
  c.warm.copy_sentences = 4  # sentences of such a turn, at most
  c.warm.steps = 0  # supervised steps on the scripted writer's turns
  c.warm.instances = 2500  # conversations that the writer is recorded on
  c.warm.turns_file = config_dict.placeholder(str)  # .jsonl to imitate instead
  c.warm.leave_out_fact = 0.4  # how often the writer misses a fact
  c.warm.store_small_talk = 0.5  # how often it stores small talk
  c.warm.insert_for_update = 0.5  # how often it inserts a change as new
  c.warm.store_sentence = 0.4  # on text without notes: share it stores
  c.warm.lr = 7e-3  # peak learning rate

  c.grpo = config_dict.ConfigDict()
  c.grpo.steps = 50  # training steps
  c.grpo.instances = 8  # instances per step
  c.grpo.rollouts = 8  # rollouts per instance
  c.grpo.at_once = config_dict.placeholder(int)  # at a time; None: all
  c.grpo.group = 'chunk'  # peers of a turn: chunk, instance or rollout
  c.grpo.std = True  # divide advantages by the group's deviation
  c.grpo.evidence = 0.0  # weight of what each line's own calls were worth
  c.grpo.fault = 0.0  # r1 lost by a bad or made-up call, or a line passed over
  c.grpo.clip_low = 0.2  # clip width below 1
  c.grpo.clip_high = 0.2  # clip width above 1
  c.grpo.dual_clip = config_dict.placeholder(float)  # bound for A < 0
  c.grpo.ratio = 'token'  # clipped is that of a token or of the sequence
  c.grpo.aggregation = 'token'  # token, turn or constant, see grpo/loss.py
  c.grpo.kl = 0.0  # weight of the penalty for leaving the warm start; 0: off
  c.grpo.drop_equal = False  # leave out groups of equal rewards
  c.grpo.updates = 1  # optimiser steps per batch of rollouts
  c.grpo.lr = 5e-4  # peak learning rate
  c.grpo.shuffle_advantages = False  # control: destroys the credit

  c.batch = config_dict.ConfigDict()
  c.batch.rows = 16  # rows of a micro-batch, each of several packed turns
  c.batch.length = config_dict.placeholder(int)  # tokens of a row; None: a turn
  c.batch.targets = 112  # response tokens of a row

  c.opt = config_dict.ConfigDict()
  c.opt.warmup = 20  # steps of linear warm-up
  c.opt.schedule = 'cosine'  # constant or cosine, after the warm-up
  c.opt.weight_decay = 0.0  # of matrices
  c.opt.clip_norm = 1.0  # gradient norm
  c.opt.moments = 'float32'  # dtype of AdamW's averages
  c.opt.b1 = 0.9  # AdamW
  c.opt.b2 = 0.98  # AdamW

  c.eval = config_dict.ConfigDict()
  c.eval.every = 10  # GRPO steps between validations
  c.eval.validation = 64  # instances that choose the checkpoint
  c.eval.test = 128  # instances of the final table
  c.eval.batch = 64  # episodes at a time
  c.eval.systems = ()  # rows of the table, see evaluate.py; (): those of a run
  c.eval.name = config_dict.placeholder(str)  # of a further table of this run
  c.eval.compare = ()  # --mode=compare: folders of evaluations

  c.baselines = config_dict.ConfigDict()
  c.baselines.context_tokens = 30_000  # of full_context: the last of the text
  c.baselines.top_k = 5  # chunks that rag_topk shows to a question
  c.baselines.verbatim_tokens = 1024  # budget of verbatim
  c.baselines.state_tokens = 1024  # size of the memories overwrite and state
  c.baselines.writer = 'extract'  # who writes them: extract, local, endpoint
  c.baselines.temperature = 0.1  # of a model that writes them

  c.export = config_dict.ConfigDict()  # --mode=export
  c.export.system = 'grpo'  # grpo (the best snapshot) or warm_start
  c.export.directory = config_dict.placeholder(str)  # None: hf in the workdir
  c.export.dtype = 'bfloat16'  # of the weights: bfloat16, float16 or float32

  c.checkpoint = config_dict.ConfigDict()
  c.checkpoint.every = 10  # GRPO steps between checkpoints
  c.checkpoint.warm_every = 100  # the same, during the warm start
  c.checkpoint.keep = 2  # recent checkpoints kept

  c.guard = config_dict.ConfigDict()
  c.guard.non_finite = 'stop'  # on a loss or gradient of NaN: stop or skip

  c.plan = config_dict.ConfigDict()
  c.plan.target = 'cpu'  # cpu, gpu, or a TPU topology such as v5e:8x8

  c.log = config_dict.ConfigDict()
  c.log.progress = True  # progress bar on the terminal
  c.log.turns = 2  # rollouts per step whose turns are written down
  profiles.apply(c, arg or 'default')
  return c
