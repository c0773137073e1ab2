package vaerosetta;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Answers the requests of {@code conformance/PROTOCOL.md} for a port on the JVM: {@code Server.run(backend, args)} is
 * what its main method does. It checks all arguments, so that a port needs not.
 */
public final class Server {
  private static final List<String> OPERATIONS =
      List.of(
          "describe", "load", "encode", "reparameterize", "decode", "losses", "loss_on_probabilities", "gradients",
          "train", "load_state", "sample", "generate");

  private final Backend backend;

  private Server(Backend backend) {
    this.backend = backend;
  }

  /**
   * Answers one request if {@code args} are its two paths, and otherwise serves until stdin ends. Where that fails, the
   * process ends with exit code 2 (it cannot be read) or 1, and the last line on stderr says why.
   */
  public static void run(Backend backend, String... args) {
    try {
      new Server(backend).serve(args);
    } catch (IOException | RuntimeException | Error failure) {
      failure.printStackTrace();
      System.err.println(failure);
      System.exit(failure instanceof IOException || failure instanceof IllegalArgumentException ? 2 : 1);
    }
  }

  private void serve(String... args) throws IOException {
    if (args.length == 2) {
      answer(Path.of(args[0]), Path.of(args[1]));
    } else if (args.length == 0) {
      var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String line; (line = lines.readLine()) != null; ) {
        var paths = line.split("\t", 2);
        answer(Path.of(paths[0]), Path.of(paths[1]));
        System.out.println("done");
        System.out.flush();
      }
    } else {
      throw new IllegalArgumentException("arguments: got " + args.length + "; expected REQUEST RESPONSE, or none");
    }
  }

  private void answer(Path request, Path response) throws IOException {
    var content = SafeTensors.read(request);
    Map<String, Tensor> tensors = Map.of();
    Map<String, String> metadata = Map.of();
    try {
      if ("describe".equals(content.metadata().get("operation"))) {
        metadata = new LinkedHashMap<>(backend.describe());
        metadata.put("protocol", "1");
        metadata.put("operations", String.join(" ", OPERATIONS));
        metadata.put("serve", "yes");
      } else {
        tensors = answer(content);
      }
    } catch (IllegalArgumentException refusal) {
      var kind = refusal instanceof Checks.WrongTypeException ? "type" : "value";
      metadata = Map.of("error", refusal.getMessage(), "error_kind", kind);
    }
    SafeTensors.write(response, tensors, metadata);
  }

  private Map<String, Tensor> answer(SafeTensors.Content request) {
    var operation = Checks.oneOf("operation", request.metadata().get("operation"), OPERATIONS);
    var dtype = Checks.oneOf("dtype", request.metadata().get("dtype"), List.of("float32", "float64"));
    var device = request.metadata().get("device");
    if (!List.of("auto", "cpu").contains(String.valueOf(device))) {
      throw Checks.refusal("device", "'" + device + "'", "auto or cpu");
    }
    var arguments = new Arguments(request);
    var params = arguments.parameters(operation);
    var sizes = Checks.parameters(params);
    try (var model = backend.load(params, sizes, dtype)) {
      return switch (operation) {
        case "load" -> select(model.state(), sizes.shapes());
        case "encode" -> {
          var posterior = model.encode(arguments.images("x", Checks.ANY, sizes));
          yield Map.of("mu", posterior.mu(), "logvar", posterior.logvar());
        }
        case "reparameterize" -> {
          var mu = arguments.latents("mu", Checks.ANY, sizes);
          int rows = mu.shape()[0];
          var logvar = arguments.latents("logvar", rows, sizes);
          yield Map.of("z", model.reparameterize(mu, logvar, arguments.latents("noise", rows, sizes)));
        }
        case "decode" -> Map.of("logits", model.decode(arguments.latents("z", Checks.ANY, sizes)));
        case "losses" -> {
          var x = arguments.images("x", Checks.ANY, sizes);
          var losses = model.losses(x, arguments.latents("noise", x.shape()[0], sizes));
          yield Map.of("reconstruction", losses.reconstruction(), "kl", losses.kl());
        }
        case "loss_on_probabilities" -> {
          var x = arguments.images("x", Checks.ANY, sizes);
          int rows = x.shape()[0];
          var reconX = arguments.images("recon_x", rows, sizes);
          var mu = arguments.latents("mu", rows, sizes);
          var logvar = arguments.latents("logvar", rows, sizes);
          yield Map.of("objective", model.lossOnProbabilities(reconX, x, mu, logvar));
        }
        case "gradients" -> {
          var x = arguments.images("x", Checks.ANY, sizes);
          yield model.gradients(x, arguments.latents("noise", x.shape()[0], sizes));
        }
        case "train" -> {
          model.loadState(Checks.state(arguments.state(), sizes));
          var x = arguments.images("x", Checks.ANY, sizes);
          var order = Checks.order(arguments.tensor("order"), x.shape()[0]);
          var noise = arguments.tensor("noise");
          Checks.finite("noise", Checks.floats("noise", noise, order.shape()[0], order.shape()[1], sizes.latentDim()));
          var answer = new LinkedHashMap<String, Tensor>();
          answer.put("objective", model.train(x, order, noise));
          answer.putAll(model.state());
          yield answer;
        }
        case "load_state" -> {
          model.loadState(Checks.state(arguments.state(), sizes));
          yield model.state();
        }
        case "sample" -> Map.of("z", model.sample(arguments.images("x", Checks.ANY, sizes), arguments.seed()));
        case "generate" -> Map.of("probabilities", model.generate(arguments.n(), arguments.seed()));
        default -> throw new AssertionError(operation);
      };
    }
  }

  private static Map<String, Tensor> select(Map<String, Tensor> tensors, Map<String, int[]> names) {
    var selected = new LinkedHashMap<String, Tensor>();
    names.keySet().forEach(name -> selected.put(name, tensors.get(name)));
    return selected;
  }

  /** The tensors and options of a request. */
  private record Arguments(SafeTensors.Content request) {
    Tensor tensor(String name) {
      var tensor = request.tensors().get(name);
      if (tensor == null) {
        throw Checks.refusal(name, "nothing", "a tensor of that name");
      }
      return tensor;
    }

    Tensor images(String name, int rows, Sizes sizes) {
      return Checks.images(name, tensor(name), rows, sizes.inputDim());
    }

    Tensor latents(String name, int rows, Sizes sizes) {
      return Checks.latents(name, tensor(name), rows, sizes.latentDim());
    }

    /** The parameters among the tensors; of `load`, whatever it holds, so that unknown names are refused. */
    Map<String, Tensor> parameters(String operation) {
      if (operation.equals("load")) {
        return request.tensors();
      }
      var params = new HashMap<>(request.tensors());
      params.keySet().retainAll(Sizes.CLASSIC.shapes().keySet());
      return params;
    }

    /** All but what `train` gets beside the state. */
    Map<String, Tensor> state() {
      var state = new LinkedHashMap<>(request.tensors());
      state.keySet().removeAll(List.of("x", "order", "noise"));
      return state;
    }

    long seed() {
      var text = request.metadata().get("seed");
      try {
        return Long.parseUnsignedLong(text);
      } catch (NumberFormatException error) {
        throw Checks.refusal("seed", text, "a whole number from 0 to 2^64 - 1");
      }
    }

    int n() {
      var text = request.metadata().get("n");
      try {
        return Checks.count("n", Integer.parseInt(text), 1);
      } catch (NumberFormatException error) {
        throw Checks.refusal("n", text, "a whole number from 1 to 2^31 - 1");
      }
    }
  }
}
