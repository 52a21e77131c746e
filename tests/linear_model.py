"""A causal language model each of whose sublayers multiplies the residual stream by a matrix: all is known of it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

HOOK_POINTS = {
    "layers": "layers",
    "attn": "attn_norm",
    "mlp": "mlp_norm",
    "attn_adds": "attn",
    "mlp_adds": "mlp",
}
"""Its names by hand, for ``find_hook_points``."""


class LinearConfig(PretrainedConfig):
    model_type = "linear"


class LinearLayer(nn.Module):
    """Two residual updates, h <- A h, each as h + (A - I) h."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn_norm, self.mlp_norm = nn.Identity(), nn.Identity()
        self.attn, self.mlp = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = hidden_states + self.attn(self.attn_norm(hidden_states))
        return hidden_states + self.mlp(self.mlp_norm(hidden_states))


class _Linear(PreTrainedModel):
    config_class = LinearConfig
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        """They are set by ``linear_model``."""


class LinearModel(_Linear):
    def __init__(self, config: LinearConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(LinearLayer(config.hidden_size) for _ in range(config.num_hidden_layers))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False, **_) -> BaseModelOutputWithPast:
        states = [self.embed(input_ids)]
        for layer in self.layers:
            states.append(layer(states[-1]))
        hidden = tuple(states) if output_hidden_states else None
        return BaseModelOutputWithPast(last_hidden_state=states[-1], hidden_states=hidden)


class LinearCausalLM(_Linear):
    def __init__(self, config: LinearConfig) -> None:
        super().__init__(config)
        self.model = LinearModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed

    def forward(self, input_ids: Tensor, **words) -> CausalLMOutputWithPast:
        result = self.model(input_ids, **words)
        return CausalLMOutputWithPast(logits=self.head(result.last_hidden_state), hidden_states=result.hidden_states)


def linear_model(
    layers: int, matrices: Tensor | Sequence[Tensor], vocabulary: int = 64, context: int = 64, seed: int = 0
) -> LinearCausalLM:
    """A model whose state before sublayer s + 1 is A_s times that before sublayer s; no token sees another.

    Args:
        layers: Number of layers, of two sublayers each.
        matrices: [width, width], the same for all sublayers, or 2 x layers of them, the last for the last layer's MLP.
        vocabulary: Tokens; embeddings and head are drawn at random.
        context: The most tokens of a prompt.
        seed: Of what is drawn.
    """
    every = [matrices] * (2 * layers) if isinstance(matrices, Tensor) else list(matrices)
    width = len(every[0])
    config = LinearConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, max_position_embeddings=context
    )
    model, generator = LinearCausalLM(config), torch.Generator().manual_seed(seed)
    branches = [branch for layer in model.model.layers for branch in (layer.attn, layer.mlp)]
    with torch.no_grad():
        for branch, matrix in zip(branches, every, strict=True):
            branch.weight.copy_(matrix - torch.eye(width))
        for module in (model.model.embed, model.head):
            module.weight.copy_(torch.randn(vocabulary, width, generator=generator))
    return model.eval().requires_grad_(False)
